"""What a grid leaves where jobs failed for good: its numbers in MLflow, and a report of what there is.

The finished report and ``tracked`` wait for all scores: one cell that fails would hide those of all others.
"""

import subprocess
import sys
from pathlib import Path

from bupo.experiment.plan import Plan


def tell_partial(plan: Plan, python: str | Path) -> None:
    """Log and report what there is, as far as that goes, and tell of it in one line.

    Args:
        plan: of the experiment.
        python: interpreter of the jobs.
    """
    folder, page = Path(plan.folder), Path(plan.partial) / "index.html"
    experiment, log = folder / "experiment.yaml", folder / "logs" / "partial.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(python), "-m"]
    tracking = ["--tracking", str(folder / "tracking.json"), "--experiment", str(experiment)]
    report = [
        "--experiment",
        str(experiment),
        "--out",
        plan.partial,
        "--summary",
        str(page.with_name("summary.json")),
    ]
    with log.open("w") as file:

        def ends_well(*arguments: str) -> bool:
            done = subprocess.run([*command, *arguments], stdout=file, stderr=subprocess.STDOUT, check=False)
            return done.returncode == 0

        logged = ends_well("bupo.tracking", "finish", *tracking)
        reported = ends_well("bupo.report", "build", *report)
    there = [*([str(page)] if reported else []), *(["in MLflow"] if logged else [])]
    why = "" if logged and reported else f" ({log} says why not all)"
    print(
        f"[{plan.name}] jobs failed; what there is: {' and '.join(there) or 'not told'}{why}",
        file=sys.stderr,
        flush=True,
    )

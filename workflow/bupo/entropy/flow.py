"""``python -m bupo.entropy.flow``: the entropy analysis over a training, at every snapshot of a run."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bupo.entropy.__main__ import add_analysis_arguments
from bupo.entropy.settings import Analysis, read_settings
from bupo.entropy.source import ModelSource, model_source
from bupo.errors import UserError, run_command
from bupo.files import atomic_path, read_json
from bupo.validation import load_yaml

if TYPE_CHECKING:
    import pandas as pd

DESCRIPTION = """\
Analyse every snapshot of a training run, or a base model as step 0, each over its own responses to the same
problems, and gather the statistics of all steps in flow.parquet.
"""
EPILOG = """\
Writes into --out: step-<n>/ with responses.parquet, statistics.parquet and boundary.json for each step, and
last flow.parquet: the statistics with the columns step and run (<model>/<cell>/seed<s>) in front. Killed and
started again it goes on where it was.
"""


def main() -> None:
    """Parse the command line and analyse every snapshot."""
    parser = argparse.ArgumentParser(
        prog="python -m bupo.entropy.flow",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run", required=True, help="a run's folder with done.json, or a base model's model.json"
    )
    add_analysis_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()
    settings = read_settings(arguments.spec, arguments.cells)
    name, steps = snapshots_of(arguments.run)

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    table = analyse_flow(name, steps, arguments.problems, settings, arguments.out)
    print(f"{arguments.out}/flow.parquet: {name}, {len(steps)} steps, {len(table)} rows.")


def snapshots_of(argument: str) -> tuple[str, dict[int, ModelSource]]:
    """The name ``<model>/<cell>/seed<s>`` of a run, and the model of each of its steps, first step first.

    A base model is ``<model>/base/seed0`` with step 0.

    Raises:
        UserError: there is no run, it is not done, or a snapshot is missing.
    """
    folder = Path(argument)
    if not any((folder / file).exists() for file in ("config.yaml", "done.json")):
        source = model_source(argument)
        return f"{source.name}/base/seed0", {0: source}
    done = folder / "done.json"
    if not done.exists():
        raise UserError(f"{done} is missing; a run has it when its training is done.")
    listed = read_json(done).get("snapshots")
    if not listed:
        raise UserError(f"{done}: snapshots is missing; a run trained with snapshots has it.")
    run = (load_yaml(folder / "config.yaml") or {}).get("bupo", {})
    for key in ("model", "cell", "seed", "layers"):
        if key not in run:
            raise UserError(f"{folder / 'config.yaml'}: bupo.{key} is missing; a training run's file has it.")
    name = f"{run['model']}/{run['cell']}/seed{run['seed']}"
    steps = {int(step): folder / path for step, path in listed.items()}
    for path in steps.values():
        if not (path / "config.json").exists():
            raise UserError(f"{path} holds no model; {done} says that it should.")
    return name, {
        step: ModelSource(f"{name} step {step}", str(path), layers=run["layers"])
        for step, path in sorted(steps.items())
    }


def analyse_flow(
    name: str, steps: dict[int, ModelSource], problems: Sequence[Path], settings: Analysis, out: Path
) -> "pd.DataFrame":
    """Analyse the model of each step, and write flow.parquet last.

    Of the shard of a step only the responses stay then, so that other settings can be measured over them: the
    sums of many steps of many runs would be gigabytes.

    Args:
        name: of the run.
        steps: the model of each step.
        problems: problem files.
        settings: of the analysis.
        out: folder of the results.

    Returns:
        What flow.parquet holds.
    """
    import pandas as pd

    from bupo.entropy.results import merge
    from bupo.entropy.shard import SUMS, Shard, run_shard

    tables = []
    for place, (step, source) in enumerate(steps.items(), start=1):
        print(f"{name}: step {step}, {place} of {len(steps)}", flush=True)
        folder = _folder(out, step)
        run_shard(source, problems, settings, folder, Shard())
        table, _ = merge(folder, shards=1)
        table.insert(0, "step", step)
        table.insert(1, "run", name)
        tables.append(table)
    flow = pd.concat(tables, ignore_index=True)
    with atomic_path(out / "flow.parquet") as path:
        flow.to_parquet(path, index=False)
    for step in steps:
        (Shard().folder(_folder(out, step)) / SUMS).unlink()
    return flow


def _folder(out: Path, step: int) -> Path:
    return out / f"step-{step:06d}"


if __name__ == "__main__":
    run_command(main)

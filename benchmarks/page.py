"""docs/benchmarks.md from the records beside this file.

python benchmarks/page.py [--out docs/benchmarks.md]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent
RECORDS = {
    "sweep": "entropy_sweep",
    "memory": "entropy_memory",
    "phase1": "phase1",
    "grading": "grading",
    "stored": "grading_stored",
    "data": "data_stage",
    "cell": "demo_cell",
    "plain": "dry_run",
    "cluster": "dry_run_slurm",
}


def record(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


def steps_by_way() -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in record("phase1_step")["steps"]:
        found.setdefault((row["shape"], row["layer"]), {})[row["way"]] = row
    return found


def page() -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {
        "x": lambda ratio: f"{ratio:.1f}x",
        "percent": lambda share: f"{100 * share:.3g} %",
        "small": lambda value: f"{value:.1g}",
    }
    values = {name: record(file) for name, file in RECORDS.items()}
    return environment.get_template("page.md.jinja").render(steps=steps_by_way(), **values)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.parse_args().out.write_text(page())


if __name__ == "__main__":
    main()

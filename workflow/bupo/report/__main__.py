"""Command line of the report stage."""

import argparse
from pathlib import Path

from bupo.errors import run_command

DESCRIPTION = (
    "Reads the tree beside a resolved experiment (evaluation/, runs/, entropy/, data/, models/) and writes "
    "index.html (one file that needs no other), figures/ (SVG and PNG), tables/*.csv, and summary.json. A "
    "file that is not there yet is named on the page."
)


def main() -> None:
    """Parse the command line and write the report."""
    parser = argparse.ArgumentParser(prog="python -m bupo.report", description=DESCRIPTION)
    parser.add_argument("command", nargs="?", choices=["build"], default="build", help="may be left out")
    parser.add_argument("--experiment", type=Path, required=True, help="results/<experiment>/experiment.yaml")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write, results/<experiment>/report"
    )
    parser.add_argument("--summary", type=Path, required=True, help="results/<experiment>/summary.json")
    arguments = parser.parse_args()
    from bupo.report.page import write_report

    write_report(arguments.experiment, arguments.out, arguments.summary)


if __name__ == "__main__":
    run_command(main)

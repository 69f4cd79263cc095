"""bupo compare: two experiments against each other, problem by problem, and how their settings differ.

A and B are experiments that were run (folders below results/). Cells of one name are compared, or those that
--cells names; a difference is B less A. Writes index.html, figures/, tables/ and summary.json.
"""

import argparse
from pathlib import Path
from typing import Any

from bupo.console.shared import read_experiment, tell, tell_json
from bupo.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "a", metavar="A", help="an experiment below results/, with which the other is compared"
    )
    parser.add_argument("b", metavar="B", help="the other")
    parser.add_argument(
        "--cells",
        nargs="+",
        default=[],
        metavar="CELL=CELL",
        help="a cell of A and the cell of B to compare it with; default: cells of one name",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--out", type=Path, help="folder to write; default: results/compare/A-B")


def run(arguments: argparse.Namespace) -> int:
    """Compare two experiments and print the answer and where the page is."""
    named = dict(_pair(text) for text in arguments.cells)
    folders = [arguments.results / name for name in (arguments.a, arguments.b)]
    for folder in folders:
        read_experiment(folder)  # a mistake is told before the slow imports
    from bupo.report.collect import collect
    from bupo.report.difference import difference
    from bupo.report.difference_page import write_difference

    out = arguments.out or arguments.results / "compare" / f"{arguments.a}-{arguments.b}"
    a, b = (collect(folder / "experiment.yaml") for folder in folders)
    summary = write_difference(difference(a, b, named), out)
    if arguments.json:
        tell_json(summary)
    else:
        tell(_as_text(summary, out))
    return 0


def _pair(text: str) -> tuple[str, str]:
    one, sign, other = text.partition("=")
    if not (one and sign and other):
        raise UserError(f"--cells: {text!r} should be a cell of A and a cell of B, as in grpo=grpo_long.")
    return one, other


def _as_text(summary: dict[str, Any], out: Path) -> str:
    told = summary["answer"]
    return "\n".join(
        [told["title"], *(f"  {sentence}" for sentence in told["sentences"]), f"{out}/index.html"]
    )

"""What the commands share: how an experiment is named, and how tables, sizes and times are shown."""

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import read_yaml
from bupo.validation import load_yaml

SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def add_experiment(parser: argparse.ArgumentParser, overrides: bool = True) -> None:
    """Add the arguments that name an experiment; `chosen` reads them."""
    parser.add_argument(
        "experiment",
        nargs="?",
        help="a file of configs/experiment/, without its ending; default: what configs/config.yaml names",
    )
    if overrides:
        parser.add_argument(
            "--overrides",
            nargs="*",
            metavar="KEY=VALUE",
            help="changes to it, as in training.steps=20; default: those of configs/config.yaml",
        )
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="folder of the configurations")
    parser.add_argument("--results", help="folder of the results; default: what configs/config.yaml names")


def chosen(arguments: argparse.Namespace) -> dict[str, Any]:
    """configs/config.yaml with what the command line changed, as Snakemake's ``--config`` changes it.

    Raises:
        UserError: there is no such file, since this is not the project's folder.
    """
    values = load_yaml(arguments.configs / "config.yaml")
    if not isinstance(values, dict) or "experiment" not in values:
        raise UserError(f"{arguments.configs / 'config.yaml'}: experiment is missing; it should name one.")
    given = {key: getattr(arguments, key, None) for key in ("experiment", "overrides", "results")}
    return {**values, **{key: value for key, value in given.items() if value is not None}}


def read_experiment(folder: Path) -> dict[str, Any]:
    """The experiment as it was run, from its folder below results/.

    Raises:
        UserError: nothing was run there.
    """
    path = folder / "experiment.yaml"
    if not path.is_file():
        known = sorted(found.parent.name for found in folder.parent.glob("*/experiment.yaml"))
        there = f"{folder.parent}/ has: {', '.join(known)}" if known else f"{folder.parent}/ has none yet"
        raise UserError(f"{path}: there is no such file; {there}.")
    return _parsed(path.absolute(), path.stat().st_mtime_ns)


@cache  # a large grid takes a second
def _parsed(path: Path, _changed: int) -> dict[str, Any]:
    experiment = read_yaml(path)
    assert isinstance(experiment, dict)
    return experiment


def run_name(cell: dict[str, Any]) -> str:
    """``<model>/<cell>/seed<s>`` of an entry of ``cells`` in experiment.yaml."""
    return f"{cell['model']}/{cell['cell']}/seed{cell['seed']}"


def tell(text: str) -> None:
    """Print to stdout, to whoever asked."""
    sys.stdout.write(text + "\n")


def tell_json(value: Any) -> None:
    """Print as JSON for a program."""
    tell(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """A table for people, two spaces between columns.

    Args:
        head: names of the columns.
        rows: their texts.
        right: indices of the columns that are flush right.
    """
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def size(count: float) -> str:
    """A number of bytes: ``8.0 GB`` (powers of 1000, as disks are sold)."""
    for unit in SIZES[:-1]:
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} {SIZES[-1]}"


def hours(seconds: float) -> str:
    """Seconds as hours: ``5,084``, ``13.20``, ``0.01``."""
    value = seconds / 3600
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def several(count: int, one: str, many: str | None = None) -> str:
    """``1 cell``, ``10,000 cells``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"

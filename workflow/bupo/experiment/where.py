"""Where an experiment's results are, and how to look at them."""

import os
import sys
from pathlib import Path

from bupo.errors import UserError
from bupo.tracking.address import SQLITE
from bupo.tracking.grid import read_tracking
from bupo.tracking.links import comparison_link, ui_address


def where(name: str, results: str) -> str:
    """The last lines of a run: the report, its numbers, and its cells in the MLflow UI.

    Raises:
        UserError: the experiment has no report yet.
    """
    folder = Path(results) / name
    page = folder / "report" / "index.html"
    if not page.is_file():
        raise UserError(f"{page} does not exist; snakemake --cores 2 --config experiment={name} makes it.")
    return "\n".join(
        [
            "",
            f"The report:   {page.resolve().as_uri()}",
            f"Its numbers:  {folder}/summary.json and {folder}/report/tables/",
            *_cells_in_mlflow(folder / "tracking.json", results),
        ]
    )


def _cells_in_mlflow(file: Path, results: str) -> list[str]:
    """How to see the cells beside each other; nothing where MLflow was away."""
    tracking = read_tracking(file) if file.is_file() else None
    if tracking is None or not tracking.experiment_id:
        return []
    link = comparison_link(tracking, ui_address(tracking))
    if not tracking.uri.startswith(SQLITE):
        return [f"The cells in MLflow:  {link}"]
    store = "" if results == "results" else f" --store {tracking.uri}"
    return [
        f"MLflow:       {_python()} -m bupo.tracking serve{store}",
        "              shows the cells beside each other, while it runs, at",
        f"              {link}",
    ]


def _python() -> str:
    """The interpreter that runs this, as one would type it here."""
    path = os.path.relpath(sys.executable)
    return sys.executable if path.startswith("..") else path

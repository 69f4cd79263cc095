"""Where an experiment's results are, and how to look at them."""

from pathlib import Path

from bupo.errors import UserError


def where(name: str, results: str) -> str:
    """The last lines of a run: the report, its numbers, and the MLflow UI.

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
            f"MLflow:       .venv/bin/mlflow ui --backend-store-uri sqlite:///{results}/mlflow/mlflow.db",
            "              then the comparison of the cells, whose address this prints:",
            f"              .venv/bin/python -m bupo.tracking link --tracking {folder}/tracking.json",
        ]
    )

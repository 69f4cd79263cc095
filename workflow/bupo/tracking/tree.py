"""All results of an experiment's tree into MLflow, in one process: importing MLflow costs the most."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.files import read_yaml
from bupo.progress import Progress
from bupo.tracking.datasets import problem_sets
from bupo.tracking.grid import grid_parameters, init, read_tracking
from bupo.tracking.log import Results, log_report, log_results
from bupo.tracking.samples import sample_table
from bupo.tracking.store import with_store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def results_of(run: str, experiment: Mapping[str, Any], root: Path) -> Results:
    """The files of ``run`` that exist below ``root`` (``results/<experiment>``)."""
    model = run.split("/", maxsplit=1)[0]
    base = run.endswith("/base/seed0")
    files = root / "runs" / run
    summaries = [
        path
        for name in experiment["data"]["benchmarks"]
        if (path := root / "evaluation" / run / name / "summary.json").exists()
    ]
    tables = {
        path.parent.name: sample_table(path, root / "data" / "normal" / f"{path.parent.name}.parquet")
        for path in summaries
    }
    entropy = root / "entropy" / model
    # The entropy analysis is of the model before training: it belongs to the base's run, once.
    figures = sorted((root / "report" / "figures").glob(f"entropy*-{model}.svg")) if base else []
    return Results(
        summaries=summaries,
        config=_existing(files / "config.yaml"),
        metrics=_existing(files / "metrics.jsonl"),
        done=_existing(files / "done.json"),
        entropy=entropy if base and (entropy / "boundary.json").exists() else None,
        figures=figures,
        flow=_existing(root / "entropy" / run / "flow.parquet"),
        samples={name: table for name, table in tables.items() if table is not None},
        problem_sets=problem_sets(root, run, _train_set(run, experiment), summaries),
    )


def finish(tracking_file: Path, experiment_file: Path, report: Path | None) -> None:
    """Log what every run of the experiment has, and the report on the grid's run.

    Raises:
        UserError: a file of the tree is damaged, or the report is missing.
        Away: MLflow cannot be reached.
    """
    experiment = read_yaml(experiment_file)
    root = experiment_file.parent
    tracking = read_tracking(tracking_file)
    if not tracking.complete:
        tracking = init(experiment_file, tracking.uri, tracking_file)
    names = list(grid_parameters(experiment))
    progress = Progress("tracking", len(names), "runs")
    for done, run in enumerate(names, start=1):
        # One turn at the store for each run: other grids in the same store are not kept waiting.
        results = results_of(run, experiment, root)
        with_store(tracking.uri, partial(log_results, tracking=tracking, run=run, results=results))
        progress.update(done, run)

    def log_grid(client: "MlflowClient") -> None:
        client.log_artifact(tracking.parent_run_id, str(experiment_file), "experiment")
        if report is not None:
            log_report(client, tracking, report, root / "summary.json")

    with_store(tracking.uri, log_grid)


def _train_set(run: str, experiment: Mapping[str, Any]) -> str | None:
    for cell in experiment["cells"]:
        if run == f"{cell['model']}/{cell['cell']}/seed{cell['seed']}":
            return str(cell["train_set"])
    return None


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None

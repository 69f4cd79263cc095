"""All results of an experiment's tree into MLflow, in one process: importing MLflow costs the most."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bupo.files import read_yaml
from bupo.progress import Progress
from bupo.tracking.grid import grid_parameters, read_tracking
from bupo.tracking.log import Results, log_report, log_results
from bupo.tracking.store import open_store


def results_of(run: str, experiment: Mapping[str, Any], root: Path) -> Results:
    """The files of ``run`` that exist below ``root`` (``results/<experiment>``)."""
    model = run.split("/", maxsplit=1)[0]
    base = run.endswith("/base/seed0")
    files = root / "runs" / run
    summaries = [
        root / "evaluation" / run / name / "summary.json" for name in experiment["data"]["benchmarks"]
    ]
    entropy = root / "entropy" / model
    # The entropy analysis is of the model before training: it belongs to the base's run, once.
    figures = sorted((root / "report" / "figures").glob(f"entropy*-{model}.svg")) if base else []
    return Results(
        summaries=[path for path in summaries if path.exists()],
        config=_existing(files / "config.yaml"),
        metrics=_existing(files / "metrics.jsonl"),
        done=_existing(files / "done.json"),
        entropy=entropy if base and (entropy / "boundary.json").exists() else None,
        figures=figures,
    )


def finish(tracking_file: Path, experiment_file: Path, report: Path | None) -> None:
    """Log what every run of the experiment has, and the report on the grid's run.

    Raises:
        UserError: a file of the tree is damaged, or the report is missing.
    """
    experiment = read_yaml(experiment_file)
    root = experiment_file.parent
    tracking = read_tracking(tracking_file)
    names = list(grid_parameters(experiment))
    progress = Progress("tracking", len(names), "runs")
    for done, run in enumerate(names, start=1):
        # One turn at the store for each run: other grids in the same store are not kept waiting.
        with open_store(tracking.uri) as client:
            log_results(client, tracking, run, results_of(run, experiment, root))
        progress.update(done, run)
    with open_store(tracking.uri) as client:
        client.log_artifact(tracking.parent_run_id, str(experiment_file), "experiment")
        if report is not None:
            log_report(client, tracking, report, root / "summary.json")


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None

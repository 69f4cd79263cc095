"""The MLflow run of a training run: verl logs into it, and what did not arrive is replayed at the end."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import read_json

RELATIVE_SQLITE = "sqlite:///"
STEP_METRIC = "training/global_step"
"""A metric that verl logs at every step."""


@dataclass(frozen=True)
class TrackedRun:
    """A run in MLflow: the store's address and the run's id in it."""

    uri: str
    run_id: str


def find(tracking: Path, config: dict[str, Any]) -> TrackedRun:
    """The run that ``tracking`` (an experiment's tracking.json) has for the cell of ``config``.

    Raises:
        UserError: there is no such file, or it has no run for this cell.
    """
    if not tracking.is_file():
        raise UserError(f"{tracking}: there is no such file; `python -m bupo.tracking init` writes it.")
    known = read_json(tracking)
    bupo = config["bupo"]
    name = f"{bupo['model']}/{bupo['cell']}/seed{bupo['seed']}"
    if name not in known["runs"]:
        raise UserError(
            f"{tracking}: there is no run {name} in it; it has {', '.join(sorted(known['runs']))}."
        )
    uri = known["uri"]
    if uri.startswith(RELATIVE_SQLITE) and not uri.startswith(RELATIVE_SQLITE + "/"):
        uri = RELATIVE_SQLITE + str(Path(uri.removeprefix(RELATIVE_SQLITE)).resolve())
    return TrackedRun(uri, known["runs"][name])


def attach(run: TrackedRun, config: dict[str, Any]) -> None:
    """Make verl log to ``run``: by its environment variables and one more logger in ``config``."""
    os.environ |= {"MLFLOW_TRACKING_URI": run.uri, "MLFLOW_RUN_ID": run.run_id}
    config["trainer"]["logger"] = [*config["trainer"]["logger"], "mlflow"]


def logged_steps(run: TrackedRun) -> set[int]:
    """The steps that MLflow has of ``run``; none where MLflow is away."""
    try:
        from mlflow import MlflowClient

        history = MlflowClient(tracking_uri=run.uri).get_metric_history(run.run_id, STEP_METRIC)
    except Exception as error:
        print(f"MLflow: the run could not be read: {error}", file=sys.stderr)
        return set()
    return {point.step for point in history}


def complete(run: TrackedRun, metrics: Path) -> None:
    """Log the lines of ``metrics.jsonl`` that MLflow does not have; a failure is told and nothing more."""
    try:
        from mlflow import MlflowClient

        from bupo.tracking.replay import replay

        missing = replay(MlflowClient(tracking_uri=run.uri), run.run_id, metrics)
    except Exception as error:
        # MLflow may be away, full or locked; the training is done and the numbers are in metrics.jsonl
        print(f"MLflow: the metrics could not be completed: {error}", file=sys.stderr)
        return
    if missing:
        print(
            f"MLflow: {len(missing)} steps had not arrived and were replayed from {metrics}", file=sys.stderr
        )

"""Training metrics that MLflow missed, from metrics.jsonl: no step is lost, and none is logged twice."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.tracking.names import metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

Numbers = dict[str, float]
BATCH = 1000  # MLflow's limit for one call
WITNESS = "training/global_step"
"""A metric that verl logs at every step."""


def replay(client: "MlflowClient", run_id: str, metrics_file: Path) -> list[int]:
    """Log the steps of ``metrics_file`` that the run lacks.

    Returns:
        The steps that were missing.

    Raises:
        UserError: a line of the file is not JSON or has no step.
    """
    stamp = int(metrics_file.stat().st_mtime * 1000)
    return deliver(client, run_id, {step: (stamp, line) for step, line in read_steps(metrics_file).items()})


def deliver(client: "MlflowClient", run_id: str, steps: Mapping[int, tuple[int, Numbers]]) -> list[int]:
    """Log those of ``steps`` that the run lacks.

    A step counts as logged when the run has, at that step, the metric that most of the steps share. MLflow
    keeps the metrics of a call whole or not at all, and a step goes in one, or that metric in its last.

    Args:
        client: an open store's client.
        run_id: MLflow's id of the run.
        steps: for each step its time in milliseconds since the epoch, and its metrics.

    Returns:
        The steps that were missing.
    """
    counts = Counter(key for _, values in steps.values() for key in values)
    if not counts:
        return []
    witness = max(counts, key=lambda key: (counts[key], key == WITNESS))
    logged = {point.step for point in client.get_metric_history(run_id, metric_name(witness))}
    missing = [step for step in sorted(steps) if step not in logged]
    batch: list[Metric] = []
    for step in missing:
        stamp, values = steps[step]
        points = [_metric(key, value, stamp, step) for key, value in values.items() if key != witness]
        if witness in values:
            points.append(_metric(witness, values[witness], stamp, step))
        if len(batch) + len(points) > BATCH:
            log_points(client, run_id, batch)
            batch = []
        batch += points
    log_points(client, run_id, batch)
    return missing


def log_points(client: "MlflowClient", run_id: str, points: Sequence["Metric"]) -> None:
    """Log any number of points, in their order."""
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])


def _metric(key: str, value: float, stamp: int, step: int) -> "Metric":
    from mlflow.entities import Metric

    return Metric(metric_name(key), value, stamp, step)


def numbers(line: Mapping[str, Any]) -> Numbers:
    """What MLflow takes of a step's metrics: the numbers, as float."""
    return {
        key: float(value)
        for key, value in line.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def read_steps(metrics_file: Path) -> dict[int, Numbers]:
    """The numbers of metrics.jsonl by step.

    Raises:
        UserError: a line is not JSON or has no step.
    """
    steps: dict[int, Numbers] = {}
    for number, line in enumerate(metrics_file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            step = int(row.pop("step"))
        except (ValueError, KeyError, AttributeError):
            raise UserError(f'{metrics_file}: line {number} should be an object with a "step".') from None
        steps[step] = numbers(row)
    return steps

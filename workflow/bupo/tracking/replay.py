"""Training metrics that MLflow missed, from metrics.jsonl: no step is lost, and none is logged twice."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from bupo.errors import UserError
from bupo.tracking.names import metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000


def replay(client: "MlflowClient", run_id: str, metrics_file: Path) -> list[int]:
    """Log the steps of ``metrics_file`` that the run lacks.

    A step counts as logged when the run has, at that step, the metric that most lines of the file share: verl
    logs all metrics of a step in one call, which is kept whole or not at all.

    Returns:
        The steps that were missing.

    Raises:
        UserError: a line of the file is not JSON or has no step.
    """
    from mlflow.entities import Metric

    steps = read_steps(metrics_file)
    if not steps:
        return []
    counts: dict[str, int] = {}
    for values in steps.values():
        for key in values:
            counts[key] = counts.get(key, 0) + 1
    witness = max(counts, key=lambda key: counts[key])
    logged = {point.step for point in client.get_metric_history(run_id, metric_name(witness))}
    missing = [step for step in steps if step not in logged]
    stamp = int(metrics_file.stat().st_mtime * 1000)
    points = [
        Metric(metric_name(key), value, stamp, step) for step in missing for key, value in steps[step].items()
    ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])
    return missing


def read_steps(metrics_file: Path) -> dict[int, dict[str, float]]:
    """The numbers of metrics.jsonl by step.

    Raises:
        UserError: a line is not JSON or has no step.
    """
    steps: dict[int, dict[str, float]] = {}
    for number, line in enumerate(metrics_file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            step = int(row.pop("step"))
        except (ValueError, KeyError, AttributeError):
            raise UserError(f'{metrics_file}: line {number} should be an object with a "step".') from None
        steps[step] = {
            key: float(value)
            for key, value in row.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
    return steps

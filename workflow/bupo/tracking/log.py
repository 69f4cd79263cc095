"""Results of a run into MLflow: evaluation, entropy analysis, configuration, figures.

Logging twice changes nothing: every point has the time stamp of the file that it comes from, and MLflow keeps
one point per key, step, time and value.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.files import read_json
from bupo.tracking.grid import Tracking, run_in_force
from bupo.tracking.names import metric_name
from bupo.tracking.replay import replay

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

BATCH = 1000  # MLflow's limit for one call
SHARES = ("truncated_share", "no_box_share", "mean_tokens", "n_problems", "n_samples")


@dataclass(frozen=True)
class Results:
    """The files of one run; what is not there yet is None or empty.

    Attributes:
        summaries: the evaluation's summary.json, one for each benchmark.
        config: the composed configuration.
        metrics: metrics.jsonl of the training.
        done: done.json of the training.
        entropy: folder of the entropy analysis.
        figures: image files.
    """

    summaries: list[Path] = field(default_factory=list)
    config: Path | None = None
    metrics: Path | None = None
    done: Path | None = None
    entropy: Path | None = None
    figures: list[Path] = field(default_factory=list)


def log_results(client: "MlflowClient", tracking: Tracking, run: str, results: Results) -> str:
    """Log the results of one run and mark it as finished; returns its id.

    Raises:
        UserError: the experiment has no such run.
    """
    number = run_in_force(client, tracking, run, results.config)
    step = int(tracking.parameters[run]["cell.steps"])
    points: list[Metric] = []
    mean: dict[str, float] = {}
    for path in results.summaries:
        summary = read_json(path)
        benchmark = summary["benchmark"]
        points += _points(evaluation_metrics(summary), step, path)
        mean[benchmark] = summary["pass_at_k"]["1"]["value"]
        client.log_artifact(number, str(path), f"evaluation/{benchmark}")
    if len(mean) > 1 and set(mean) == set(tracking.benchmarks):
        # Over all benchmarks or not at all: a mean over some of them would be compared with one over others.
        points += _points(
            {"eval/mean/pass_at_1": sum(mean.values()) / len(mean)}, step, results.summaries[-1]
        )
    if results.done is not None:
        done = read_json(results.done)
        if "wall_s" in done:
            points += _points({"cost/train_wall_s": done["wall_s"]}, step, results.done)
        client.set_tag(number, "bupo.training", done.get("status", "completed"))
    if results.entropy is not None:
        points += list(entropy_points(results.entropy))
    for start in range(0, len(points), BATCH):
        client.log_batch(number, metrics=points[start : start + BATCH])
    if results.metrics is not None:
        replay(client, number, results.metrics)
    for path, folder in _artifacts(results):
        client.log_artifact(number, str(path), folder)
    _finished(client, number)
    return number


def evaluation_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation under names that MLflow allows: ``eval/math500/pass_at_4_low``."""
    prefix = f"eval/{metric_name(summary['benchmark'])}"
    named = {f"avg_at_{summary['n_samples']}": summary["avg_at_n"]}
    named |= {f"pass_at_{k}": estimate for k, estimate in summary["pass_at_k"].items()}
    values: dict[str, float] = {}
    for name, estimate in named.items():
        values[f"{prefix}/{name}"] = estimate["value"]
        values[f"{prefix}/{name}_low"] = estimate["low"]
        values[f"{prefix}/{name}_high"] = estimate["high"]
    maj = summary.get("maj_at_n")
    if maj is not None:
        values[f"{prefix}/maj_at_{summary['n_samples']}"] = maj["value"] if isinstance(maj, Mapping) else maj
    values |= {f"{prefix}/{name}": summary[name] for name in SHARES if summary.get(name) is not None}
    return {name: float(value) for name, value in values.items() if value is not None}


def entropy_points(folder: Path) -> Iterator["Metric"]:
    """The entropy analysis as metrics whose step is the layer, so that the UI draws the entropy flow.

    The boundary layer, where there is one, is a metric at step 0.
    """
    import pandas as pd

    boundary = read_json(folder / "boundary.json")
    path = folder / "statistics.parquet"
    if boundary["boundary_layer"] is not None:
        yield from _points(
            {"entropy/boundary_layer": boundary["boundary_layer"]}, 0, folder / "boundary.json"
        )
    table = pd.read_parquet(path)
    rows = table[(table["slice"] == "all") & table["quantity"].isin(["entropy", "entropy_change"])]
    for quantity, policy, lens, layer, mean in rows[
        ["quantity", "policy", "lens", "layer", "mean"]
    ].itertuples(index=False, name=None):
        if math.isfinite(mean):
            name = metric_name(f"entropy/{quantity}/{policy}/{lens or 'none'}")
            yield from _points({name: float(mean)}, int(layer), path)


def log_report(client: "MlflowClient", tracking: Tracking, report: Path, summary: Path | None) -> None:
    """Put the report on the grid's run and mark it as finished.

    Raises:
        UserError: there is no report.
    """
    if not (report / "index.html").exists():
        raise UserError(f"{report}: there is no index.html; --report is the folder that bupo.report writes.")
    client.log_artifacts(tracking.parent_run_id, str(report), "report")
    if summary is not None and summary.exists():
        client.log_artifact(tracking.parent_run_id, str(summary), "report")
    _finished(client, tracking.parent_run_id)


def _points(values: Mapping[str, float], step: int, source: Path) -> Iterable["Metric"]:
    from mlflow.entities import Metric

    stamp = int(source.stat().st_mtime * 1000)
    return [Metric(name, float(value), stamp, step) for name, value in values.items()]


def _finished(client: "MlflowClient", run_id: str) -> None:
    # The end that verl recorded is the end of the training: it is not moved.
    if client.get_run(run_id).info.status != "FINISHED":
        client.set_terminated(run_id, "FINISHED")


def _artifacts(results: Results) -> Iterator[tuple[Path, str]]:
    for path in (results.config, results.done):
        if path is not None:
            yield path, "training"
    if results.entropy is not None:
        for name in ("boundary.json", "statistics.parquet"):
            yield results.entropy / name, "entropy"
    for path in results.figures:
        yield path, "figures"

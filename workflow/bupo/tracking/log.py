"""Results of a run into MLflow: evaluation, entropy analysis, configuration, figures.

Logging twice changes nothing: every point has the time stamp of the file that it comes from, and MLflow keeps
one point per key, step, time and value.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bupo.errors import UserError
from bupo.files import read_json
from bupo.tracking.datasets import ProblemSet, dataset_input
from bupo.tracking.grid import Tracking, run_in_force
from bupo.tracking.points import entropy_points, evaluation_metrics, flow_points, points_of
from bupo.tracking.replay import log_points, replay

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric


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
        flow: flow.parquet of the run: what the training did to the internal policies.
        samples: for each benchmark a table of answers (`sample_table`).
        problem_sets: what the run was trained on and evaluated on.
    """

    summaries: list[Path] = field(default_factory=list)
    config: Path | None = None
    metrics: Path | None = None
    done: Path | None = None
    entropy: Path | None = None
    figures: list[Path] = field(default_factory=list)
    flow: Path | None = None
    samples: dict[str, str] = field(default_factory=dict)
    problem_sets: list[ProblemSet] = field(default_factory=list)


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
        points += points_of(evaluation_metrics(summary), step, path)
        mean[benchmark] = summary["pass_at_k"]["1"]["value"]
        client.log_artifact(number, str(path), f"evaluation/{benchmark}")
    if len(mean) > 1 and set(mean) == set(tracking.benchmarks):
        # Over all benchmarks or not at all: a mean over some of them would be compared with one over others.
        points += points_of(
            {"eval/mean/pass_at_1": sum(mean.values()) / len(mean)}, step, results.summaries[-1]
        )
    if results.done is not None:
        done = read_json(results.done)
        if "wall_s" in done:
            points += points_of({"cost/train_wall_s": done["wall_s"]}, step, results.done)
        client.set_tag(number, "bupo.training", done.get("status", "completed"))
    if results.entropy is not None:
        points += list(entropy_points(results.entropy))
    if results.flow is not None:
        points += list(flow_points(results.flow))
    log_points(client, number, points)
    if results.problem_sets:
        client.log_inputs(number, datasets=[dataset_input(problems) for problems in results.problem_sets])
    _log_samples(client, number, results.samples)
    if results.metrics is not None:
        replay(client, number, results.metrics)
    for path, folder in _artifacts(results):
        client.log_artifact(number, str(path), folder)
    _finished(client, number)
    return number


def _log_samples(client: "MlflowClient", run_id: str, samples: Mapping[str, str]) -> None:
    for benchmark, table in samples.items():
        client.log_text(run_id, table, f"samples/{benchmark}.json")
    if samples:
        shown = [{"path": f"samples/{benchmark}.json", "type": "table"} for benchmark in samples]
        client.set_tag(run_id, "mlflow.loggedArtifacts", json.dumps(shown))


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
    if results.flow is not None:
        yield results.flow, "entropy"
    for path in results.figures:
        yield path, "figures"

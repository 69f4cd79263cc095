"""bupo status: where a grid stands, run by run, from its files and Slurm's queue.

A run is done, collapsed, running, failed or waiting. It is running where a process holds its lock or its job
runs, and has failed where a call of the training began and none goes on. The time left of a run is by its
last five steps, and that of the grid what bupo plan estimates for the rest, with as many trainings at a time
as run now. Nothing is started, and nothing is written.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.console.shared import (
    add_experiment,
    chosen,
    read_experiment,
    run_name,
    several,
    table,
    tell,
    tell_json,
)
from bupo.files import is_held
from bupo.progress import duration

if TYPE_CHECKING:
    from bupo.console.left import Left
    from bupo.console.runs import Standing
    from bupo.console.slurm import Queue

STATES = ("done", "collapsed", "running", "failed", "waiting")
SHOWN = 50
"""Runs up to which each is shown without being asked for."""
FIRST = {
    "data": r"data/(normal|verl/[^/]+)/[^/]+\.parquet|data/contamination\.json",
    "models": r"models/[^/]+/model\.json",
    "analysis": r"entropy/.+/(boundary\.json|(sums|flow)\.parquet)",
    "evaluation": r"evaluation/.+/(scores|shard-[^/]+)\.parquet",
    "report": r"report/index\.html|tracked",
}
"""The first output of each job but the trainings, below the experiment's folder: one for each job."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_experiment(parser, overrides=False)
    parser.add_argument(
        "--all", action="store_true", help=f"show every run also where there are more than {SHOWN}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print where an experiment stands."""
    from bupo.console.left import time_left
    from bupo.console.runs import standing
    from bupo.console.slurm import read_queue, submitted

    config = chosen(arguments)
    folder = Path(config.get("results", "results")) / config["experiment"]
    experiment, queue, marks = read_experiment(folder), read_queue(), submitted()
    runs = [standing(folder, run_name(cell), cell["steps"], queue, marks) for cell in experiment["cells"]]
    stages = {name: (made, of) for name, made, of in stages_of(folder, experiment)}
    jobs = jobs_of(folder, queue, marks)
    left = time_left(folder, arguments.configs, runs)
    if arguments.json:
        tell_json(as_json(experiment["name"], runs, stages, jobs, left, queue.problem))
        return 0
    shown = (
        runs
        if arguments.all or len(runs) <= SHOWN
        else [r for r in runs if r.state not in ("done", "waiting")]
    )
    tell(as_text(folder, runs, shown, stages, jobs, left))
    if queue.problem:
        tell(f"\nSlurm's queue is not in this: {queue.problem}.")
    return 0


def stages_of(folder: Path, experiment: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """The other stages: name, results that are there, results that are asked for."""
    models, data = experiment["models"], experiment["data"]
    cells = [run_name(cell) for cell in experiment["cells"]]
    evaluated = [f"{model}/base/seed0" for model in models["train"]] + cells
    sets = dict.fromkeys([*data["train"], *data["benchmarks"], *data.get("spare", [])])
    files = {
        "data": [f"data/{name}.json" for name in sets],
        "models": [
            f"models/{name}/model.json" for name in dict.fromkeys(models["train"] + models["analyse"])
        ],
        "analysis": [f"entropy/{name}/boundary.json" for name in models["analyse"]],
        "evaluation": [
            f"evaluation/{run}/{name}/summary.json" for run in evaluated for name in data["benchmarks"]
        ],
        "report": ["report/index.html"],
    }
    if experiment["analysis"].get("snapshots"):
        files["analysis"] += [f"entropy/{run}/flow.parquet" for run in evaluated]
    for name, paths in files.items():
        yield name, sum((folder / path).exists() for path in paths), len(paths)


def jobs_of(folder: Path, queue: "Queue", marks: Mapping[str, str | None]) -> dict[str, dict[str, int]]:
    """The jobs of the other stages that run, and those that wait in Slurm's queue, by stage.

    Args:
        folder: ``results/<experiment>``.
        queue: the user's jobs.
        marks: see `bupo.console.slurm.submitted`.
    """
    from bupo.console.runs import RUNNING

    found: dict[str, dict[str, int]] = {"running": {}, "queued": {}}
    here = is_held(folder / ".lock")  # a mark without a job of Slurm's is old where no Snakemake runs
    for output, number in marks.items():
        inside = output.removeprefix(f"{folder}/")
        stage = next((name for name, first in FIRST.items() if re.fullmatch(first, inside)), None)
        job = queue.jobs.get(number) if number else None
        if stage is None or inside == output or (job is None and (number or not here)):
            continue
        state = "running" if job is None or job.state in RUNNING else "queued"
        found[state][stage] = found[state].get(stage, 0) + 1
    return found


def as_text(
    folder: Path,
    runs: "Sequence[Standing]",
    shown: "Sequence[Standing]",
    stages: Mapping[str, tuple[int, int]],
    jobs: Mapping[str, Mapping[str, int]],
    left: "Left | None",
) -> str:
    """The state for people."""
    counts = Counter[str](standing.state for standing in runs)
    told = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    lines = [f"{folder}: {several(len(runs), 'run')}{told and f': {told}'}"]
    others = ", ".join(f"{name} {made:,}/{of:,}" for name, (made, of) in stages.items() if of)
    lines += [f"other results: {others}"]
    if any(jobs.values()):
        each = (
            f"{state} {', '.join(f'{stage} {count:,}' for stage, count in of.items())}"
            for state, of in jobs.items()
            if of
        )
        lines.append(f"other jobs: {'; '.join(each)}")
    if left is not None:
        about = "at least" if left.at_least else "about"
        at_a_time = several(left.trainings, "training")
        lines.append(f"time left: {about} {duration(left.seconds)} with {at_a_time} at a time (bupo plan)")
    if shown:
        head = ("run", "state", "step", "reward", "left", "last line", "")
        lines += ["", table(head, [_row(standing) for standing in shown], right={2, 3, 4, 5})]
    if hidden := len(runs) - len(shown):
        lines += ["", f"{several(hidden, 'run')} more, done or waiting; --all shows them."]
    return "\n".join(lines)


def as_json(
    name: str,
    runs: "Sequence[Standing]",
    stages: Mapping[str, tuple[int, int]],
    jobs: Mapping[str, Mapping[str, int]],
    left: "Left | None",
    problem: str | None,
) -> dict[str, Any]:
    """The state for programs."""
    counts = Counter[str](standing.state for standing in runs)
    return {
        "experiment": name,
        "counts": dict.fromkeys(STATES, 0) | counts,
        "runs": [vars(standing) for standing in runs],
        "stages": {stage: {"made": made, "of": of} for stage, (made, of) in stages.items()},
        "jobs": jobs,
        "left": None if left is None else vars(left),
        "queue_problem": problem,
    }


def _row(standing: "Standing") -> tuple[str, ...]:
    return (
        standing.run,
        standing.state,
        f"{standing.step}/{standing.steps}",
        "" if standing.reward is None else f"{standing.reward:.3f}",
        "" if standing.left is None else duration(standing.left),
        "" if standing.age is None else f"{duration(standing.age)} ago",
        standing.note,
    )

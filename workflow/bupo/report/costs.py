"""What each stage cost, from the calls of the trainings and the last lines of the stages' logs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bupo.files import read_json
from bupo.spent import read_spent


@dataclass(frozen=True)
class Cost:
    """What something cost.

    Attributes:
        wall_s: of all its jobs together, in seconds.
        gpu_s: GPUs times wall time; None where not recorded.
        core_s: processor time of all its jobs; None where not recorded.
        calls: processes that worked on it; None where only the last is recorded.
    """

    wall_s: float
    gpu_s: float | None
    core_s: float | None
    calls: int | None = 1


@dataclass(frozen=True)
class StageCost:
    """The cost of a stage.

    Attributes:
        results: how many it has to make; recorded: of how many of them the cost is known.
        cost: of those together; None where nothing is recorded.
        source: what it rests on.
    """

    stage: str
    results: int
    recorded: int
    cost: Cost | None
    source: str


LOGS = "logs: the call that finished each job"


def costs(
    root: Path, experiment: Mapping[str, Any], bases: Sequence[str], runs: Mapping[str, Cost | None]
) -> list[StageCost]:
    """The cost of every stage, in the order of the work.

    Args:
        root: the experiment's folder.
        experiment: its resolved file.
        bases: names of the models before training, as evaluated.
        runs: the trained runs and what each cost.
    """
    names = dict.fromkeys([*experiment["models"]["train"], *experiment["models"]["analyse"]])
    every = [*bases, *runs]
    swept = [] if experiment["analysis"].get("snapshots") is None else every
    data = sorted(path.relative_to(root / "logs").with_suffix("") for path in root.glob("logs/data/**/*.log"))
    last = any(cost is not None and cost.calls is None for cost in runs.values())
    source = f"done.json: {'the last call' if last else 'every call'}; processors: logs"
    stages = {
        "data": [_of(root, str(name), gpus=False) for name in data],
        "models": [_of(root, f"models/{name}", gpus=False) for name in names],
        "entropy analysis": [_of(root, f"entropy/{name}") for name in experiment["models"]["analyse"]],
        "training": list(runs.values()),
        "entropy over training": [_of(root, f"entropy/{run}") for run in swept],
        "evaluation": [
            _of(root, f"evaluation/{run}/{name}")
            for run in every
            for name in experiment["data"]["benchmarks"]
        ],
    }
    return [
        StageCost(
            stage,
            len(found),
            len(known := [cost for cost in found if cost is not None]),
            together(known),
            source if stage == "training" else LOGS,
        )
        for stage, found in stages.items()
        if found
    ]


def cost_of_run(root: Path, run: str) -> Cost | None:
    """The cost of a training, from its ``done.json``; None before its end."""
    path = root / "runs" / run / "done.json"
    done = read_json(path) if path.is_file() else {}
    spent = read_spent(root / "logs/runs" / f"{run}.log")
    jobs = done.get("jobs") or []
    lengths = [(_seconds(job), job["gpus"]) for job in jobs]
    if jobs:
        # The log is of the last call: of a run that was gone on with it tells a part only.
        cores = spent.core_s if spent and len(jobs) == 1 else None
        known = [(seconds, gpus) for seconds, gpus in lengths if seconds is not None]
        return Cost(sum(s for s, _ in known), sum(s * gpus for s, gpus in known), cores, len(jobs))
    if "wall_s" in done:
        return Cost(float(done["wall_s"]), None, spent.core_s if spent else None, None)
    return None


def logs_of(root: Path, name: str) -> list[Path]:
    """The logs of the jobs behind one result: the one that wrote it, and those that made parts of it."""
    return [root / f"logs/{name}.log", *sorted((root / "logs" / name).glob("shard-*.log"))]


def together(parts: Iterable[Cost]) -> Cost | None:
    """The sum; an amount that is not recorded of one part is not of the sum either."""
    found = list(parts)
    if not found:
        return None
    calls = [cost.calls for cost in found]
    return Cost(
        sum(cost.wall_s for cost in found),
        _sum([cost.gpu_s for cost in found]),
        _sum([cost.core_s for cost in found]),
        None if None in calls else sum(number or 0 for number in calls),
    )


def _of(root: Path, name: str, *, gpus: bool = True) -> Cost | None:
    """The jobs behind one result: the one that wrote it, and those that made parts of it before.

    Args:
        root: the experiment's folder.
        name: of the result below its logs.
        gpus: whether the stage computes on the GPUs that it sees.
    """
    parts = []
    for log in logs_of(root, name):
        spent = read_spent(log)
        if spent is None:
            return None
        parts.append(Cost(spent.wall_s, spent.wall_s * spent.gpus if gpus else 0.0, spent.core_s))
    return together(parts)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _seconds(job: Mapping[str, Any]) -> float | None:
    if job["ended"] is None:
        return None
    return (datetime.fromisoformat(job["ended"]) - datetime.fromisoformat(job["started"])).total_seconds()

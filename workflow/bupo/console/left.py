"""How long a grid still takes: `bupo plan`'s estimate of what is left, with where its trainings are."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from bupo.console.costs import read_costs
from bupo.console.estimate import Estimator
from bupo.console.rows import critical_path, rows_of
from bupo.console.runs import Standing
from bupo.console.work import Row, total
from bupo.errors import UserError
from bupo.experiment.start import PLAN_FILE, read_plan

OVER = ("done", "collapsed")


@dataclass(frozen=True)
class Left:
    """What is left of a grid.

    Attributes:
        seconds: with as many trainings at a time as run now; a bound from below where ``at_least``.
        at_least: whether the time of some jobs is not known.
        trainings: at a time.
    """

    seconds: float
    at_least: bool
    trainings: int


def time_left(folder: Path, configs: Path, runs: Sequence[Standing]) -> Left | None:
    """The time that a grid still takes; None where nothing is left, or where it was never started.

    Args:
        folder: ``results/<experiment>``.
        configs: the project's ``configs/`` folder.
        runs: where each training stands.
    """
    try:
        plan = read_plan(folder / PLAN_FILE)
        estimator = Estimator(plan, read_costs(configs / "costs.yaml"), configs, folder.parent)
        every = rows_of(estimator)
    except (OSError, UserError, ValidationError):  # never started, or by another version
        return None
    method = {cell.run: f"{cell.model} {cell.method}" for cell in plan.cells}
    rows = [row for row in every if row.rule != "train" and row.made < row.jobs]
    for row in every:
        if row.rule == "train":
            unfinished = [run for run in runs if method.get(run.run) == row.of and run.state not in OVER]
            rows.append(_of(row, unfinished))
    rows = [row for row in rows if row.works]
    if not rows:
        return None
    at_a_time = max(1, sum(run.state == "running" for run in runs))
    one = [(work.gpus, work.cores) for row in every if row.rule == "train" for work, _ in row.works]
    gpus = at_a_time * max((gpus for gpus, _ in one), default=1)
    cores = max(os.cpu_count() or 1, at_a_time * max((cores for gpus, cores in one if not gpus), default=1))
    seconds = max(
        critical_path(rows, any(cell.layer == "auto" for cell in plan.cells)),
        total(rows, gpu=True, left=True) / max(gpus, 1),
        total(rows, gpu=False, left=True) / cores,
    )
    unknown = any(work.seconds is None for row in rows for work, _ in row.works)
    return Left(seconds, unknown, at_a_time)


def _of(row: Row, runs: Sequence[Standing]) -> Row:
    """The rest of trainings of a kind: by their own steps, or else by the mean and the steps they lack."""
    known = [(work.seconds, count) for work, count in row.works if work.seconds is not None]
    mean = sum(seconds * count for seconds, count in known) / sum(n for _, n in known) if known else None

    def rest(run: Standing) -> float | None:
        if run.left is not None or mean is None:
            return run.left
        return mean * (1 - run.step / run.steps if run.steps else 1.0)

    lengths = Counter(map(rest, runs))
    works = ((replace(row.works[0][0], seconds=seconds), count) for seconds, count in lengths.items())
    return Row(row.rule, row.of, tuple(works), made=0)

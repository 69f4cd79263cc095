"""bupo plan: the jobs of an experiment, what they cost and take, before anything is submitted.

Every time says what it rests on: steps of earlier runs of the same model and method below results/ that did
the same work in a step, or what configs/costs.yaml and the experiment's expected_seconds assume. The numbers
are of the whole experiment; `left` is without the jobs whose results are there. Nothing is written, started
or downloaded.
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.console.shared import add_experiment, chosen, hours, several, size, table, tell, tell_json
from bupo.progress import duration

if TYPE_CHECKING:
    from bupo.console.sizes import Disk
    from bupo.console.work import Row, Work
    from bupo.experiment.plan import Plan

SHOWN_CELLS = 20
MISSING = "?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_experiment(parser)
    parser.add_argument("--costs", type=Path, help="the assumptions; default: costs.yaml in --configs")
    parser.add_argument(
        "--gpus", type=int, help="GPUs at a time, for the time; default: those of one training"
    )
    parser.add_argument("--cores", type=int, help="processors at a time; default: those of this machine")
    parser.add_argument("--cells", action="store_true", help="print every cell, however many there are")


@dataclass(frozen=True)
class Estimate:
    """What a plan comes to.

    Attributes:
        rows: the jobs by rule.
        path: seconds where every job starts as soon as it can.
        gpus, cores: at a time.
        checkpoints: bytes while trainings run, of all that run at a time.
    """

    plan: "Plan"
    rows: "list[Row]"
    disk: "Disk"
    path: float
    gpus: int
    cores: int
    checkpoints: float

    @property
    def unknown(self) -> int:
        """How many jobs have no time."""
        return sum(count for row in self.rows for work, count in row.works if work.seconds is None)

    def seconds(self, gpu: bool, left: bool = False) -> float:
        """GPU-seconds, or processor-seconds of jobs without a GPU, as far as they are known."""
        from bupo.console.work import total

        return total(self.rows, gpu, left)

    @property
    def bytes_left(self) -> float:
        """Bytes that are still to be written, by the share of the trainings that is not done."""
        trainings = [row for row in self.rows if row.rule == "train"]
        jobs = sum(row.jobs for row in trainings)
        left = 1 - sum(row.made for row in trainings) / jobs if jobs else 0.0
        return left * sum(self.disk.kept.values()) + (self.checkpoints if left else 0.0)

    def wall(self) -> float:
        """Seconds of the whole on so many GPUs and processors: at least the longest path."""
        return max(
            self.path,
            self.seconds(gpu=True) / max(self.gpus, 1),
            self.seconds(gpu=False) / self.cores,
        )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan of an experiment."""
    estimate = estimated(arguments)
    if arguments.json:
        tell_json(as_json(estimate))
    else:
        tell(as_text(estimate, arguments.cells))
    return 0


def estimated(arguments: argparse.Namespace) -> Estimate:
    """The estimate of the experiment that the command line names.

    Raises:
        UserError: a mistake in the experiment or in the assumptions.
    """
    from bupo.console.costs import read_costs
    from bupo.console.estimate import Estimator
    from bupo.console.rows import critical_path, rows_of
    from bupo.console.sizes import disk_of, problems_in
    from bupo.experiment.resolve import planned

    config = chosen(arguments)
    plan = planned(config, arguments.configs)
    costs = read_costs(getattr(arguments, "costs", None) or arguments.configs / "costs.yaml")
    estimator = Estimator(plan, costs, arguments.configs, Path(plan.folder).parent)
    rows = rows_of(estimator)
    kinds = {(cell.model, cell.method): estimator.workload(cell) for cell in plan.cells}
    checkpoints: dict[str, int] = {}
    for (model, _), workload in kinds.items():
        # one more while the newest is written
        checkpoints[model] = max(checkpoints.get(model, 0), workload.models * (workload.keep_last + 1))
    tokens = {
        name: (problems_in(plan, name) or 0)
        * estimator.evaluation.samples
        * (estimator.length(plan.experiment.models.train[0], name)[0] * costs.disk.token + costs.disk.sample)
        for name in plan.benchmarks
    }
    disk = disk_of(plan, costs, checkpoints, tokens)
    one = max((workload.gpus for workload in kinds.values()), default=0)
    gpus = getattr(arguments, "gpus", None) or one or max(row.gpus for row in rows)
    cores = getattr(arguments, "cores", None) or os.cpu_count() or 1
    at_a_time = min(len(plan.cells), max(1, gpus // one if one else cores))
    path = critical_path(rows, any(cell.layer == "auto" for cell in plan.cells))
    return Estimate(plan, rows, disk, path, gpus, cores, at_a_time * disk.run)


def as_text(estimate: Estimate, every_cell: bool = False) -> str:
    """The plan for people."""
    plan, rows = estimate.plan, estimate.rows
    jobs, made = sum(row.jobs for row in rows), sum(row.made for row in rows)
    lines = [f"{plan.name}: {_cells(plan)}", *_axes(plan)]
    if plan.cells and (every_cell or len(plan.cells) <= SHOWN_CELLS):
        lines += ["", "cells:", *(f"  {cell.run}" for cell in plan.cells)]
    bases: dict[str, str] = {}
    head = ("rule", "of", "jobs", "done", "each", "GPUs", "GPU-hours", "core-hours", "rests on")
    body = [_line(row, bases) for row in rows]
    lines += ["", table(head, body, right={2, 3, 4, 5, 6, 7}), ""]
    lines += [f"  {letter}  {text}" for text, letter in bases.items()]
    gpu, cpu = estimate.seconds(gpu=True), estimate.seconds(gpu=False)
    least = "at least " if estimate.unknown else ""
    kept = ", ".join(f"{name} {size(count)}" for name, count in estimate.disk.kept.items() if count)
    lines += [
        "",
        f"jobs        {jobs:,}, of which {made:,} are done",
        f"GPU-hours   {least}{hours(gpu)} ({_shares(rows)}); "
        f"left: {hours(estimate.seconds(gpu=True, left=True))}",
        f"core-hours  {least}{hours(cpu)} without a GPU; "
        f"left: {hours(estimate.seconds(gpu=False, left=True))}",
        f"disk        {size(sum(estimate.disk.kept.values()))} below results/ ({kept}); "
        f"{size(estimate.checkpoints)} more of checkpoints while trainings run; "
        f"{size(estimate.disk.cache)} of models in the hub's cache (assumed: disk in costs.yaml)",
        f"time        {least}{duration(estimate.wall())} with {_machine(estimate)}; "
        f"{least}{duration(estimate.path)} if every job starts as soon as it can",
    ]
    if estimate.unknown:
        lines.append(
            f"not known   the time of {several(estimate.unknown, 'job')}, which is in no number above"
        )
    if estimate.disk.unknown:
        lines.append(
            f"not known   the size of {', '.join(estimate.disk.unknown)}, which is in no number above"
        )
    return "\n".join(lines)


def as_json(estimate: Estimate) -> dict[str, Any]:
    """The plan for programs: seconds and bytes."""
    return {
        "experiment": estimate.plan.name,
        "cells": [cell.as_dict() for cell in estimate.plan.cells],
        "rows": [
            {
                "rule": row.rule,
                "of": row.of,
                "jobs": row.jobs,
                "done": row.made,
                "gpus": row.gpus,
                "seconds": row.seconds,
                "kinds": [{**vars(work), "jobs": count} for work, count in row.works],
            }
            for row in estimate.rows
        ],
        "jobs": sum(row.jobs for row in estimate.rows),
        "done": sum(row.made for row in estimate.rows),
        "gpu_seconds": estimate.seconds(gpu=True),
        "gpu_seconds_left": estimate.seconds(gpu=True, left=True),
        "core_seconds": estimate.seconds(gpu=False),
        "core_seconds_left": estimate.seconds(gpu=False, left=True),
        "jobs_of_unknown_time": estimate.unknown,
        "seconds": estimate.wall(),
        "seconds_at_least": estimate.path,
        "gpus": estimate.gpus,
        "cores": estimate.cores,
        "bytes": {
            "kept": dict(estimate.disk.kept),
            "checkpoints": estimate.checkpoints,
            "hub_cache": estimate.disk.cache,
            "models_of_unknown_size": list(estimate.disk.unknown),
        },
    }


def _cells(plan: "Plan") -> str:
    if not plan.cells:
        return f"the entropy analysis of {several(len(plan.analysed), 'model')}"
    steps = plan.experiment.training.steps
    return f"{several(len(plan.cells), 'cell')} of {several(steps, 'step')}"


def _axes(plan: "Plan") -> list[str]:
    lines = []
    for axis in ("model", "method", "train_set", "layer", "iterative_steps", "learning_rate", "seed"):
        counts = Counter(getattr(cell, axis) for cell in plan.cells)
        counts.pop(None, None)
        if counts:
            shown = ", ".join(map(str, list(counts)[:SHOWN_CELLS]))
            lines.append(f"  {axis}: {shown}{', ...' if len(counts) > SHOWN_CELLS else ''}")
    return lines


def _line(row: "Row", bases: dict[str, str]) -> tuple[str, ...]:
    amount = MISSING if row.held_seconds is None else hours(row.held_seconds)
    each = MISSING if row.seconds is None else duration(row.seconds / row.jobs)
    letters = sorted({_letter(work, bases) for work, _ in row.works})
    gpu, cpu = (amount, "") if row.gpus else ("", amount)
    gpus = str(row.gpus) if row.gpus else ""
    return (row.rule, row.of, f"{row.jobs:,}", f"{row.made:,}", each, gpus, gpu, cpu, " ".join(letters))


def _letter(work: "Work", bases: dict[str, str]) -> str:
    if work.seconds is None:
        text = work.basis
    else:
        text = f"{'measured' if work.measured else 'assumed'}: {work.basis}"
    return bases.setdefault(text, f"[{len(bases) + 1}]")


def _shares(rows: "Sequence[Row]") -> str:
    found = {True: 0.0, False: 0.0}
    for row in rows:
        for work, count in row.works:
            found[work.measured] += (work.seconds or 0.0) * count * row.gpus
    return f"measured {hours(found[True])}, assumed {hours(found[False])}"


def _machine(estimate: Estimate) -> str:
    gpus = f"{several(estimate.gpus, 'GPU')} and " if estimate.gpus else ""
    return f"{gpus}{several(estimate.cores, 'processor')}"

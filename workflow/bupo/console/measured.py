"""How long steps of earlier runs took: ``metrics.jsonl`` of runs of the same model and method."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

from bupo.experiment.workload import Workload, workload_of
from bupo.files import read_json, read_yaml
from bupo.training.metrics import read_metrics

STEP = "timing_s/step"
INTERNAL = "bupo/internal"
ENOUGH = 8
"""Comparable runs that an estimate is made of, the newest ones."""
LOOKED_AT = 32
"""Runs whose configuration is read in search of them."""


@dataclass(frozen=True)
class Measured:
    """Seconds of earlier runs that did the same in a step.

    Attributes:
        full: of a step of the full policy, the median over the steps of all runs.
        internal: the same of internal policies, by layer.
        around: of a run beside its steps, the mean.
        runs: where they lie.
    """

    full: float | None
    internal: Mapping[int, float]
    around: float
    runs: tuple[Path, ...]

    def seconds(self, phases: Sequence[Mapping[str, Any]], steps: int) -> float | None:
        """Seconds of a run with these phases; None where a kind of step was not measured.

        A layer that was not measured counts as a step of the full policy, at least as long.
        """
        total, left = self.around, steps
        for phase in phases:
            count = min(left, int(phase.get("steps") or left))
            layer = phase["layer"]
            each = self.full if layer == "final" else self.internal.get(int(layer), self.full)
            if each is None:
                return None
            total, left = total + count * each, left - count
        return total


@dataclass
class _Run:
    full: list[float] = field(default_factory=list)
    internal: dict[int, list[float]] = field(default_factory=dict)
    total: float = 0.0


def measured(results: Path, model: str, method: str, workload: Workload) -> Measured | None:
    """What runs of a model and a method took; None where there is none that did the same in a step."""
    found: list[tuple[Path, _Run]] = []
    for folder in _newest(_folders(results, model, method))[:LOOKED_AT]:
        config = folder / "config.yaml"
        if not config.is_file():
            continue
        known = workload_of(read_yaml(config))
        steps = _steps(folder / "metrics.jsonl")
        if known is not None and known.as_long_as(workload) and (steps.full or steps.internal):
            found.append((folder, steps))
        if len(found) == ENOUGH:
            break
    if not found:
        return None
    layers = {layer for _, run in found for layer in run.internal}
    return Measured(
        full=_median(value for _, run in found for value in run.full),
        internal={
            layer: median([v for _, run in found for v in run.internal.get(layer, [])]) for layer in layers
        },
        around=mean([_around(folder, run) for folder, run in found]),
        runs=tuple(folder for folder, _ in found),
    )


def mean_tokens(results: Path, model: str, benchmark: str) -> float | None:
    """Mean length of a response in earlier evaluations of a model, in tokens; None where there is none."""
    pattern = f"*/evaluation/{model}/*/seed*/{benchmark}/summary.json"
    found = [read_json(path)["mean_tokens"] for path in _newest(results.glob(pattern))[:ENOUGH]]
    return mean(found) if found else None


def _folders(results: Path, model: str, method: str) -> Iterable[Path]:
    # A cell's name begins with its method, and no method's name has a "-".
    for path in results.glob(f"*/runs/{model}/{method}*/seed*/metrics.jsonl"):
        if path.parts[-3].split("-")[0] == method:
            yield path.parent


def _newest(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def _steps(metrics: Path) -> _Run:
    """The seconds of a run's steps but the first, which warms up, unless there is no other."""
    lines = [line for line in read_metrics(metrics) if STEP in line]
    run = _Run(total=sum(line[STEP] for line in lines))
    for line in lines[1:] or lines:
        if line.get(INTERNAL):
            run.internal.setdefault(int(line["bupo/layer"]), []).append(float(line[STEP]))
        else:
            run.full.append(float(line[STEP]))
    return run


def _around(folder: Path, run: _Run) -> float:
    """Seconds beside the steps of a run that was trained in one call; 0 where that is not known."""
    done = folder / "done.json"
    account = read_json(done) if done.is_file() else {}
    if "wall_s" not in account or account.get("resumed_from"):
        return 0.0
    return max(0.0, account["wall_s"] - run.total)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None

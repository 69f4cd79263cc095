"""avg@n of every cell on every benchmark, with an interval for each chance behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bupo.evaluation.intervals import Interval, over_decoding, over_problems, over_seeds
from bupo.evaluation.statistics import Floats
from bupo.report.cells import MEAN, Cell
from bupo.report.records import Estimate, Results


@dataclass(frozen=True)
class Score:
    """avg@n of a cell on one benchmark, or the plain mean over all (benchmark ``mean``).

    Attributes:
        avg: with an interval over problems.
        decoding: the same value with an interval over decoding.
        over_seeds: the same with an interval over training seeds; None with one seed.
        n_problems: of the benchmark, or of all together.
        n_samples: per problem, all seeds together.
        by_seed: the value of each seed.
        truncated, no_box: shares of responses; mean_tokens: their mean length.
        leads: whether it is resolved above every other cell of the model here.
    """

    model: str
    cell: str
    benchmark: str
    avg: Estimate
    decoding: Estimate
    over_seeds: Estimate | None
    n_problems: int
    n_samples: int
    by_seed: dict[int, float]
    truncated: float
    no_box: float
    mean_tokens: float
    leads: bool = False


def scores_of(results: Results, cells: Sequence[Cell]) -> list[Score]:
    """Every cell on every benchmark, and its mean over all of them where it has all."""
    found = []
    for cell in cells:
        values: dict[str, Floats] = {}
        mine = []
        for benchmark in results.benchmarks:
            matrix = cell.matrix(benchmark)
            if matrix is None:
                continue
            values[benchmark] = matrix.correct.mean(axis=1)
            mine.append(_score(results, cell, benchmark, matrix.correct))
        if len(mine) == len(results.benchmarks) > 1:
            mine.append(_mean_score(results, cell, mine, values))
        found += mine
    return found


def _score(results: Results, cell: Cell, benchmark: str, matrix: Floats) -> Score:
    runs = [run.evaluated[benchmark] for run in cell.runs]
    by_seed = {run.seed: run.evaluated[benchmark].avg.value for run in cell.runs}
    average = over_problems(matrix.mean(axis=1), level=results.level)
    return Score(
        model=cell.model,
        cell=cell.name,
        benchmark=benchmark,
        avg=estimate(average),
        decoding=Estimate(average.value, *over_decoding(matrix, level=results.level)),
        over_seeds=_over_seeds(by_seed, results.level),
        n_problems=average.n,
        n_samples=sum(run.n_samples for run in runs),
        by_seed=by_seed,
        truncated=float(np.mean([run.truncated for run in runs])),
        no_box=float(np.mean([run.no_box for run in runs])),
        mean_tokens=float(np.mean([run.mean_tokens for run in runs])),
    )


def _mean_score(results: Results, cell: Cell, mine: list[Score], values: dict[str, Floats]) -> Score:
    average = over_problems(*values.values(), level=results.level)
    by_seed = {run.seed: float(np.mean([s.by_seed[run.seed] for s in mine])) for run in cell.runs}
    return Score(
        model=cell.model,
        cell=cell.name,
        benchmark=MEAN,
        avg=estimate(average),
        decoding=_mean_decoding([score.decoding for score in mine]),
        over_seeds=_over_seeds(by_seed, results.level),
        n_problems=average.n,
        n_samples=min(s.n_samples for s in mine),
        by_seed=by_seed,
        truncated=float(np.mean([s.truncated for s in mine])),
        no_box=float(np.mean([s.no_box for s in mine])),
        mean_tokens=float(np.mean([s.mean_tokens for s in mine])),
    )


def estimate(interval: Interval) -> Estimate:
    """A number with its interval, as the report holds it."""
    return Estimate(interval.value, interval.low, interval.high)


def _over_seeds(by_seed: dict[int, float], level: float) -> Estimate | None:
    return estimate(over_seeds(list(by_seed.values()), level)) if len(by_seed) > 1 else None


def _mean_decoding(parts: list[Estimate]) -> Estimate:
    """Benchmarks are decoded independently: the distances to the bounds add in squares."""
    value = float(np.mean([part.value for part in parts]))
    below = np.sqrt(sum((part.value - (part.low or 0.0)) ** 2 for part in parts)) / len(parts)
    above = np.sqrt(
        sum(((1.0 if part.high is None else part.high) - part.value) ** 2 for part in parts)
    ) / len(parts)
    return Estimate(value, float(value - below), float(value + above))

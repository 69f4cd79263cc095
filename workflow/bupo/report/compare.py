"""Cells against their base and against GRPO, problem by problem, with a verdict that chance cannot fake.

All seeds of a cell are taken together: its samples on a problem are the samples of all its seeds. Differences
are paired over problems. Comparisons with GRPO are one family, comparisons with the base another; within a
family the p-values are corrected by Holm's method, so that a grid with many cells does not find a winner by
being large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bupo.errors import UserError
from bupo.evaluation.comparison import (
    differences,
    holm,
    paired_difference,
    paired_p_value,
    problem_values,
    resolvable_difference,
)
from bupo.evaluation.statistics import over_problems, resampled_means
from bupo.report.records import BASE, Estimate, Results, Run

MEAN = "mean"
GRPO = "grpo"
ABOVE, BELOW, OPEN = "above", "below", "not resolved"
ABOVE_ALONE, BELOW_ALONE = "above, not after correction", "below, not after correction"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """All runs of one cell on one model."""

    model: str
    name: str
    runs: list[Run]

    @property
    def first(self) -> Run:
        """Any run of it, for what all seeds share."""
        return self.runs[0]

    @property
    def label(self) -> str:
        """For people: ``base``, ``grpo``, ``bupo-kauto-s4 (layer 3)``."""
        layers = {run.layer for run in self.runs}
        if self.first.layer_requested == "auto" and len(layers) == 1 and None not in layers:
            return f"{self.name} (layer {self.first.layer})"
        return self.name

    def scores(self, benchmark: str) -> pd.DataFrame | None:
        """The graded samples of all seeds as one table; None unless every seed is evaluated."""
        tables = []
        for number, run in enumerate(self.runs):
            if benchmark not in run.evaluated:
                return None
            table = run.evaluated[benchmark].scores[["problem_id", "sample", "correct"]]
            tables.append(table.assign(sample=[f"{number}/{sample}" for sample in table["sample"]]))
        return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class Score:
    """avg@n of a cell on one benchmark, or the plain mean over all (benchmark ``mean``).

    Attributes:
        n_problems: of the benchmark, or of all together.
        n_samples: per problem, all seeds together.
        by_seed: the value of each seed.
    """

    model: str
    cell: str
    benchmark: str
    avg: Estimate
    n_problems: int
    n_samples: int
    by_seed: dict[int, float]


@dataclass(frozen=True)
class Comparison:
    """How much a cell is above (positive) or below another on the same problems.

    Attributes:
        against: ``base`` or the name of a GRPO cell.
        difference: of avg@n, in shares of 1, with a paired interval over problems.
        p_value: two-sided, from sign flips; corrected: by Holm over the family.
        resolvable: the smallest true difference that this many problems would mostly show; None where all
            differences are equal, so that their spread is not known.
        verdict: one of the words above.
    """

    model: str
    cell: str
    against: str
    benchmark: str
    difference: Estimate
    n_problems: int
    p_value: float
    corrected: float
    resolvable: float | None
    verdict: str


def cells_of(results: Results) -> list[Cell]:
    """The cells in the experiment's order, the base of each model before its cells."""
    found: dict[tuple[str, str], list[Run]] = {}
    for model in results.experiment["models"]["train"]:
        for run in results.runs:
            if run.model == model:
                found.setdefault((model, run.cell), []).append(run)
    return [Cell(model, name, runs) for (model, name), runs in found.items()]


def scores_of(results: Results, cells: Sequence[Cell]) -> list[Score]:
    """Every cell on every benchmark, and its mean over all of them where it has all."""
    found = []
    for cell in cells:
        values: dict[str, Floats] = {}
        mine = []
        for benchmark in results.benchmarks:
            table = cell.scores(benchmark)
            if table is None:
                continue
            values[benchmark] = np.array(list(problem_values(table).values()))
            average = over_problems(values[benchmark], results.resamples, results.level)
            by_seed = {run.seed: run.evaluated[benchmark].avg.value for run in cell.runs}
            samples = sum(run.evaluated[benchmark].n_samples for run in cell.runs)
            estimate = Estimate(average.value, average.low, average.high)
            mine.append(Score(cell.model, cell.name, benchmark, estimate, average.n, samples, by_seed))
        if len(mine) == len(results.benchmarks) > 1:
            mine.append(_mean_score(results, cell, mine, values))
        found += mine
    return found


def _mean_score(results: Results, cell: Cell, mine: list[Score], values: dict[str, Floats]) -> Score:
    estimate = _mean_estimate(list(values.values()), results)
    seeds = {run.seed: float(np.mean([s.by_seed[run.seed] for s in mine])) for run in cell.runs}
    problems = sum(score.n_problems for score in mine)
    return Score(cell.model, cell.name, MEAN, estimate, problems, min(s.n_samples for s in mine), seeds)


def comparisons_of(results: Results, cells: Sequence[Cell]) -> list[Comparison]:
    """Every trained cell against its base, and every cell against the GRPO cell of its training set."""
    by_base, by_grpo = [], []
    for cell in cells:
        if cell.name == BASE:
            continue
        base = next((c for c in cells if c.model == cell.model and c.name == BASE), None)
        if base is not None:
            by_base += _against(results, cell, base)
        grpo = grpo_for(cell, cells)
        if grpo is not None:
            by_grpo += _against(results, cell, grpo)
    return _corrected(by_base, results.level) + _corrected(by_grpo, results.level)


def grpo_for(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The GRPO cell that shares model, training set, steps, learning rate and seeds with ``cell``."""
    if cell.first.method == GRPO:
        return None

    def shared(other: Cell) -> tuple[object, ...]:
        run = other.first
        seeds = tuple(sorted(r.seed for r in other.runs))
        return other.model, run.train_set, run.steps, run.learning_rate, seeds

    return next((c for c in cells if c.first.method == GRPO and shared(c) == shared(cell)), None)


def _against(results: Results, cell: Cell, other: Cell) -> list[Comparison]:
    found, deltas = [], []
    for benchmark in results.benchmarks:
        ours, theirs = cell.scores(benchmark), other.scores(benchmark)
        if ours is None or theirs is None:
            continue
        try:
            delta = differences(problem_values(ours), problem_values(theirs))
            estimate = paired_difference(ours, theirs, resamples=results.resamples, level=results.level)
            p_value = paired_p_value(ours, theirs)
        except ValueError as error:
            raise UserError(f"{cell.model}: {cell.name} and {other.name} on {benchmark}: {error}.") from None
        deltas.append(delta)
        found.append(
            Comparison(
                cell.model,
                cell.name,
                other.name,
                benchmark,
                Estimate(estimate.value, estimate.low, estimate.high),
                estimate.n,
                p_value,
                p_value,
                _resolvable([delta]),
                OPEN,
            )
        )
    if len(deltas) == len(results.benchmarks) > 1:
        found.append(_mean_comparison(results, cell, other, deltas))
    return found


def _mean_comparison(results: Results, cell: Cell, other: Cell, deltas: list[Floats]) -> Comparison:
    p_value = _mean_p_value(deltas)
    return Comparison(
        cell.model,
        cell.name,
        other.name,
        MEAN,
        _mean_estimate(deltas, results, bounds=(-1.0, 1.0)),
        sum(delta.size for delta in deltas),
        p_value,
        p_value,
        _resolvable(deltas),
        OPEN,
    )


def _mean_estimate(
    values: list[Floats], results: Results, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Plain mean over benchmarks; problems are resampled within each benchmark."""
    parts = [over_problems(v, results.resamples, results.level, bounds=bounds) for v in values]
    value = float(np.mean([part.value for part in parts]))
    if all(np.all(v == v[0]) for v in values):
        # No resampling can show any spread: the exact bounds of the parts are the only ones there are.
        return Estimate(
            value, float(np.mean([p.low for p in parts])), float(np.mean([p.high for p in parts]))
        )
    means = np.mean([resampled_means(v, results.resamples, seed) for seed, v in enumerate(values)], axis=0)
    tail = (1.0 - results.level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Estimate(value, float(low), float(high))


def _mean_p_value(deltas: list[Floats], flips: int = 10_000) -> float:
    """Two-sided p-value of "no difference" in the mean over benchmarks, from random sign flips."""
    weighted = np.concatenate([delta / (len(deltas) * delta.size) for delta in deltas])
    weighted = weighted[weighted != 0.0]
    if weighted.size == 0:
        return 1.0
    signs = 2.0 * np.random.default_rng(0).integers(0, 2, (flips, weighted.size)) - 1.0
    as_large = np.sum(np.abs(signs @ weighted) >= abs(weighted.sum()) - 1e-12)
    return float(as_large + 1) / (flips + 1)


def _resolvable(deltas: list[Floats]) -> float | None:
    """`resolvable_difference` of a plain mean over benchmarks, from its standard error."""
    if any(delta.size < 2 for delta in deltas):
        return None
    error = float(np.sqrt(sum(delta.var(ddof=1) / delta.size for delta in deltas))) / len(deltas)
    return resolvable_difference(error, 1) if error > 0 else None


def _corrected(family: list[Comparison], level: float) -> list[Comparison]:
    """The same comparisons with Holm-corrected p-values and verdicts.

    The means over benchmarks are a family of their own: they answer one question per cell.
    """
    done = {}
    for is_mean in (True, False):
        numbers = [i for i, c in enumerate(family) if (c.benchmark == MEAN) is is_mean]
        for i, corrected in zip(numbers, holm([family[i].p_value for i in numbers]), strict=True):
            done[i] = _judged(family[i], corrected, 1.0 - level)
    return [done[i] for i in range(len(family))]


def _judged(comparison: Comparison, corrected: float, alpha: float) -> Comparison:
    difference = comparison.difference
    assert difference.low is not None and difference.high is not None
    verdict = OPEN
    if difference.low > 0:
        verdict = ABOVE if corrected <= alpha else ABOVE_ALONE
    elif difference.high < 0:
        verdict = BELOW if corrected <= alpha else BELOW_ALONE
    values = {**vars(comparison), "corrected": corrected, "verdict": verdict}
    return Comparison(**values)


def headline(comparisons: Sequence[Comparison], benchmarks: Sequence[str]) -> list[Comparison]:
    """The comparisons that answer the experiment: the mean over benchmarks, or the only benchmark."""
    wanted = MEAN if len(benchmarks) > 1 else benchmarks[0]
    return [comparison for comparison in comparisons if comparison.benchmark == wanted]

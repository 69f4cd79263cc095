"""Cells against their base and against GRPO, problem by problem, with a verdict that chance cannot fake.

All seeds of a cell are taken together: its samples on a problem are the samples of all its seeds. Differences
are paired over problems. Comparisons with GRPO are one family, comparisons with the base another; within a
family the p-values are corrected by Holm's method, so that a grid with many cells does not find a winner by
being large. Where the cells have several seeds, the difference must also hold over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bupo.errors import UserError
from bupo.evaluation.comparison import (
    difference_over_seeds,
    differences,
    holm,
    resolvable_difference,
    sign_flip_p_value,
)
from bupo.evaluation.intervals import Interval, over_differences, standard_error
from bupo.evaluation.statistics import Floats
from bupo.report.cells import MEAN, Cell, grpo_for
from bupo.report.records import BASE, Estimate, Results
from bupo.report.scores import Score, estimate

ABOVE, BELOW, OPEN = "above", "below", "not resolved"
ABOVE_ALONE, BELOW_ALONE = "above, not after correction", "below, not after correction"
ABOVE_HERE, BELOW_HERE = "above, not over seeds", "below, not over seeds"


@dataclass(frozen=True)
class Comparison:
    """How much a cell is above (positive) or below another on the same problems.

    Attributes:
        against: ``base`` or the name of a GRPO cell.
        difference: of avg@n, in shares of 1, with a paired interval over problems.
        over_seeds: the same with an interval over training seeds; None unless a trained cell has several.
        error: standard error of the difference, over problems.
        p_value: two-sided, from sign flips; corrected: by Holm over the family.
        resolvable: the smallest true difference that this many problems would mostly show in this family;
            None where all differences are equal, so that their spread is not known.
        verdict: one of the words above.
    """

    model: str
    cell: str
    against: str
    benchmark: str
    difference: Estimate
    over_seeds: Estimate | None
    n_problems: int
    error: float
    p_value: float
    corrected: float = 1.0
    resolvable: float | None = None
    verdict: str = OPEN

    @property
    def words(self) -> str:
        """The verdict for people: what is smaller than this many problems can show is not resolvable."""
        small = self.resolvable is not None and abs(self.difference.value) < self.resolvable
        return (
            f"not resolvable with {self.n_problems} problems"
            if self.verdict == OPEN and small
            else self.verdict
        )


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
    return corrected_family(by_base, results.level) + corrected_family(by_grpo, results.level)


def leaders(
    results: Results, cells: Sequence[Cell], scores: Sequence[Score], comparisons: Sequence[Comparison]
) -> list[Score]:
    """The scores, with a mark at those that are resolved above every other cell of the model on a benchmark.

    Being above the others is one family of comparisons, corrected by Holm's method: the best of many is
    mostly so by chance. None of the grid's own verdicts, which are another family, may say less.
    """
    places: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        places.setdefault((score.model, score.benchmark), []).append(score)
    by_name = {(cell.model, cell.name): cell for cell in cells}
    family = []
    for (model, benchmark), mine in places.items():
        best = max(mine, key=lambda score: score.avg.value)
        others = [by_name[model, score.cell] for score in mine if score.cell != best.cell]
        paired = (_compared(results, by_name[model, best.cell], other, benchmark) for other in others)
        family += [comparison for comparison in paired if comparison]
    verdicts: dict[tuple[str, str, str], set[str]] = {}
    for found in corrected_family(family, results.level):
        verdicts.setdefault((found.model, found.benchmark, found.cell), set()).add(found.verdict)
    turned = {ABOVE: BELOW, BELOW: ABOVE}
    for told in comparisons:
        for cell, verdict in ((told.cell, told.verdict), (told.against, turned.get(told.verdict, OPEN))):
            verdicts.get((told.model, told.benchmark, cell), set()).add(verdict)
    return [replace(s, leads=verdicts.get((s.model, s.benchmark, s.cell)) == {ABOVE}) for s in scores]


def _against(results: Results, cell: Cell, other: Cell) -> list[Comparison]:
    names = [*results.benchmarks, *([MEAN] if len(results.benchmarks) > 1 else [])]
    found = [_compared(results, cell, other, name) for name in names]
    return [comparison for comparison in found if comparison is not None]


def _compared(results: Results, cell: Cell, other: Cell, benchmark: str) -> Comparison | None:
    """How two cells differ on a benchmark, or in the plain mean of all; None unless both have it."""
    names = results.benchmarks if benchmark == MEAN else [benchmark]
    found = [_paired(cell, other, name) for name in names]
    deltas = [delta for delta in found if delta is not None]
    if len(deltas) < len(names):
        return None
    ours, theirs = (
        [float(np.mean([run.evaluated[name].avg.value for name in names])) for run in one.runs]
        for one in (cell, other)
    )
    seeds = difference_over_seeds(ours, theirs, results.level)
    return comparison(cell, other.name, benchmark, deltas, seeds, results.level, results.resamples)


def comparison(
    cell: Cell,
    against: str,
    benchmark: str,
    deltas: Sequence[Floats],
    seeds: Interval | None,
    level: float,
    resamples: int,
) -> Comparison:
    """A comparison before its family is corrected.

    Args:
        cell: that is above where the difference is positive.
        against: name of the other.
        benchmark: its name, or ``mean``.
        deltas: for each benchmark the differences of its problems.
        seeds: the difference over training seeds, where there are several.
        level: coverage of the intervals.
        resamples: number of sign flips.
    """
    value = over_differences(*deltas, level=level)
    return Comparison(
        model=cell.model,
        cell=cell.name,
        against=against,
        benchmark=benchmark,
        difference=estimate(value),
        over_seeds=estimate(seeds) if seeds else None,
        n_problems=value.n,
        error=standard_error(*deltas)[0],
        p_value=sign_flip_p_value(*deltas, flips=resamples),
    )


def _paired(cell: Cell, other: Cell, benchmark: str) -> Floats | None:
    """Differences of two cells on the problems of a benchmark; None unless both are evaluated."""
    try:
        ours, theirs = cell.matrix(benchmark), other.matrix(benchmark)
        return None if ours is None or theirs is None else differences(ours.values, theirs.values)
    except ValueError as error:
        raise UserError(f"{cell.model}: {cell.name} and {other.name} on {benchmark}: {error}.") from None


def corrected_family(family: list[Comparison], level: float) -> list[Comparison]:
    """The same comparisons with Holm-corrected p-values, verdicts, and what could have been resolved.

    The means over benchmarks are a family of their own: they answer one question per cell.
    """
    done = {}
    for is_mean in (True, False):
        numbers = [i for i, c in enumerate(family) if (c.benchmark == MEAN) is is_mean]
        for i, corrected in zip(numbers, holm([family[i].p_value for i in numbers]), strict=True):
            one = family[i]
            least = resolvable_difference(one.error, level, comparisons=len(numbers)) if one.error else None
            told = verdict(one.difference, one.over_seeds, corrected, 1.0 - level)
            done[i] = replace(one, corrected=corrected, resolvable=least, verdict=told)
    return [done[i] for i in range(len(family))]


def verdict(difference: Estimate, seeds: Estimate | None, corrected: float, alpha: float) -> str:
    """One of the words above: interval over problems, corrected p-value and seeds have to agree."""
    assert difference.low is not None and difference.high is not None
    if difference.low <= 0.0 <= difference.high:
        return OPEN
    above = difference.low > 0.0
    if corrected > alpha:
        return ABOVE_ALONE if above else BELOW_ALONE
    if seeds is not None and (seeds.low or 0.0) <= 0.0 <= (seeds.high or 0.0):
        return ABOVE_HERE if above else BELOW_HERE
    return ABOVE if above else BELOW


def headline(comparisons: Sequence[Comparison], benchmarks: Sequence[str]) -> list[Comparison]:
    """The comparisons that answer the experiment: the mean over benchmarks, or the only benchmark."""
    wanted = MEAN if len(benchmarks) > 1 else benchmarks[0]
    return [comparison for comparison in comparisons if comparison.benchmark == wanted]

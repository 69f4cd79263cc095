"""Comparing two models on the same problems, and many comparisons at once.

Problems differ in difficulty far more than models do, so differences are taken problem by problem; the chance
that is left is which problems there were. Pure numpy, fixed seeds.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bupo.evaluation.intervals import Interval, student_quantile
from bupo.evaluation.statistics import Floats, pass_at_k_per_problem

BLOCK = 1_000_000  # random numbers held at once

Scores = Any  # a pandas table with problem_id, sample, correct; pandas stays out of the imports


def correct_matrix(scores: Scores) -> tuple[list[str], Floats]:
    """Problem ids, sorted, and the 0/1 array of shape (problems, samples) of a ``scores.parquet`` table.

    Raises:
        ValueError: if the problems do not all have the same samples, each once.
    """
    if scores.duplicated(["problem_id", "sample"]).any():
        raise ValueError("the scores hold a sample of a problem twice")
    table = scores.pivot(index="problem_id", columns="sample", values="correct").sort_index()
    if table.isna().any(axis=None):
        raise ValueError("the scores do not hold the same samples for every problem")
    return [str(problem) for problem in table.index], table.to_numpy(dtype=np.float64)


def problem_values(scores: Scores, k: int | None = None) -> dict[str, float]:
    """avg@n (``k`` None) or pass@k of each problem, by problem id."""
    problems, matrix = correct_matrix(scores)
    values = matrix.mean(axis=1) if k is None else pass_at_k_per_problem(matrix, k)
    return dict(zip(problems, values.tolist(), strict=True))


def differences(values_a: Mapping[str, float], values_b: Mapping[str, float]) -> Floats:
    """a - b for each problem, in the order of the ids.

    Raises:
        ValueError: if the two do not have the same problems; a paired comparison would then silently drop
            some.
    """
    if values_a.keys() != values_b.keys():
        odd = sorted(values_a.keys() ^ values_b.keys())
        raise ValueError(
            f"a paired comparison needs the same problems: {odd[0]!r} ({len(odd)} in all) are in one only"
        )
    return np.array([values_a[problem] - values_b[problem] for problem in sorted(values_a)])


def sign_flip_p_value(*benchmarks: Floats, flips: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "no difference" from random sign flips of the per-problem differences.

    All sign patterns are tried where there are at most 2^13 of them; never exactly zero otherwise.

    Args:
        benchmarks: of each benchmark the differences of its problems; the plain mean of the benchmarks' means
            is tested.
        flips: number of random patterns.
        seed: of the patterns.
    """
    delta = np.concatenate([differences / differences.size for differences in benchmarks])
    delta = delta[delta != 0.0]
    if delta.size == 0:
        return 1.0
    observed = abs(delta.sum()) - 1e-12
    if delta.size <= 13:
        patterns = np.arange(2**delta.size)[:, None] >> np.arange(delta.size) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1.0) @ delta) >= observed))
    rng = np.random.default_rng(seed)
    as_large = 0
    rows = max(1, BLOCK // delta.size)
    for start in range(0, flips, rows):
        signs = 2.0 * rng.integers(0, 2, (min(rows, flips - start), delta.size)) - 1.0
        as_large += int(np.sum(np.abs(signs @ delta) >= observed))
    return (as_large + 1) / (flips + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in the order given: reject those at most alpha."""
    count = len(p_values)
    corrected = [0.0] * count
    highest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def resolvable_difference(
    error: float, level: float = 0.95, power: float = 0.8, comparisons: int = 1
) -> float:
    """Smallest true difference that a comparison shows with the given power.

    Args:
        error: standard error of the difference.
        level: coverage of the interval that must exclude zero.
        power: chance with which it should.
        comparisons: in the family; the first of Holm's corrections divides what is left of the level by it.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1.0 - (1.0 - level) / 2.0 / comparisons) + normal.inv_cdf(power)) * error


def difference_over_seeds(ours: ArrayLike, theirs: ArrayLike, level: float = 0.95) -> Interval | None:
    """Difference of two cells with the interval that other training seeds would give (Welch 1947).

    Args:
        ours: the score of each seed.
        theirs: the same of the other; one value is that of a model before training, which has no seed.
        level: coverage.

    Returns:
        None where a trained cell has one seed only.
    """
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.size < 2:
        return None
    parts = [values.var(ddof=1) / values.size for values in (first, second) if values.size > 1]
    sizes = [values.size for values in (first, second) if values.size > 1]
    error, value = float(sum(parts)) ** 0.5, float(first.mean() - second.mean())
    below = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    degrees = error**4 / below if below > 0.0 else min(sizes) - 1
    half = student_quantile(0.5 + level / 2.0, degrees) * error
    return Interval(value, value - half, value + half, min(sizes))

"""Comparing two models on the same problems, and many comparisons at once.

Problems differ in difficulty far more than models do, so differences are taken problem by problem; the chance
that is left is which problems there were. Pure numpy, fixed seeds.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from bupo.evaluation.statistics import BLOCK, Floats, Interval, over_problems, pass_at_k_per_problem

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


def paired_difference(
    scores_a: Scores,
    scores_b: Scores,
    k: int | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of a - b in avg@n (or pass@k), with a paired bootstrap interval over problems.

    Args:
        scores_a: table of ``scores.parquet`` (problem_id, sample, correct) of one model.
        scores_b: the same of the other model; the same problems.
        k: of pass@k, or None for avg@n.
        resamples: number of bootstrap resamples.
        level: coverage.
        seed: seed of the resampling.
    """
    delta = differences(problem_values(scores_a, k), problem_values(scores_b, k))
    return over_problems(delta, resamples, level, seed, bounds=(-1.0, 1.0))


def paired_p_value(
    scores_a: Scores, scores_b: Scores, k: int | None = None, flips: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p-value of "no difference" from random sign flips of the per-problem differences.

    All sign patterns are tried where there are at most 2^13 of them; never exactly zero otherwise.
    """
    delta = differences(problem_values(scores_a, k), problem_values(scores_b, k))
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


def resolvable_difference(delta_spread: float, n: int, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference that n problems show with the given power.

    Args:
        delta_spread: standard deviation of the per-problem differences.
        n: number of problems.
        level: coverage of the interval that must exclude zero.
        power: chance with which it should.
    """
    normal = NormalDist()
    return (normal.inv_cdf(0.5 + level / 2.0) + normal.inv_cdf(power)) * delta_spread / n**0.5

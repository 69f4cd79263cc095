"""Numbers about repeated samples: pass@k, avg@n, maj@n, and how far each of them can be trusted.

Everything here takes 0/1 arrays of shape (problems, samples) or counts, works in numpy, draws from fixed
seeds and knows nothing of files or plots. Two sources of chance are kept apart: which problems the benchmark
happens to hold (intervals over problems: whole problems are resampled, so the samples of one stay together),
and which tokens the decoder happened to draw (intervals over decoding: problems stay, samples are redrawn).
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import comb
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
BLOCK = 1_000_000  # random numbers held at once


class Interval(NamedTuple):
    """A number with its interval and what it rests on (``n`` problems)."""

    value: float
    low: float
    high: float
    n: int


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples is right, 1 - C(n-c, k) / C(n, k), exactly.

    Chen et al. 2021, equation 1; the paper's section 4.1 uses it with n = 300.

    Raises:
        ValueError: if k is below 1 or above n, or correct outside 0..n. (An estimate for k > n does not
            exist.)
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} of {n} samples: k from 1 to {n} would be right")
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} correct of {n} samples: 0 to {n} would be right")
    return 1.0 - comb(n - correct, k) / comb(n, k)


@cache
def pass_at_k_table(n: int, k: int) -> Floats:
    """``pass_at_k`` for 0..n correct samples, shape (n + 1,)."""
    table = np.array([pass_at_k(n, correct, k) for correct in range(n + 1)])
    table.setflags(write=False)
    return table


def pass_at_k_per_problem(correct: ArrayLike, k: int) -> Floats:
    """pass@k of each problem from a 0/1 array of shape (problems, samples); shape (problems,)."""
    matrix = np.asarray(correct)
    return pass_at_k_table(matrix.shape[1], k)[matrix.astype(np.int64).sum(axis=1)]


def majority(keys: Sequence[str | None], correct: Sequence[bool]) -> float:
    """maj@n of one problem: the chance that the most frequent answer is right, ties broken at random.

    Args:
        keys: spelling of each sample's answer under which equal answers agree; None does not vote.
        correct: whether each sample is right. All right samples are one camp, however they spell it.
    """
    votes: Counter[tuple[bool, str | None]] = Counter()
    for key, right in zip(keys, correct, strict=True):
        if right or key is not None:
            votes[(True, None) if right else (False, key)] += 1
    if not votes:
        return 0.0
    most = max(votes.values())
    leaders = [camp for camp, count in votes.items() if count == most]
    return float((True, None) in leaders) / len(leaders)


def majority_at_k(
    keys: Sequence[str | None], correct: Sequence[bool], k: int, draws: int = 200, seed: int = 0
) -> float:
    """maj@k of one problem: the mean of `majority` over ``draws`` random subsets of k of its samples.

    Raises:
        ValueError: if k is below 1 or above the number of samples.
    """
    if not 1 <= k <= len(keys):
        raise ValueError(f"maj@{k} of {len(keys)} samples: k from 1 to {len(keys)} would be right")
    if k == len(keys):
        return majority(keys, correct)
    rng = np.random.default_rng(seed)
    subsets = [rng.permutation(len(keys))[:k] for _ in range(draws)]
    return float(np.mean([majority([keys[i] for i in s], [correct[i] for i in s]) for s in subsets]))


def over_problems(
    per_problem: ArrayLike,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Mean over problems with a bootstrap interval over problems.

    The percentile interval is widened for small n by sqrt(n / (n - 1)) and the ratio of Student's to the
    normal quantile (Hesterberg 2015, "expanded percentile"); without that it covers too little with 30
    problems. Where all values are equal no resampling can show any spread: there the share of problems with
    another value is at most 1 - (alpha/2)^(1/n), and the interval lets that share lie at the bounds.

    Args:
        per_problem: one value for each problem, shape (problems,).
        resamples: number of bootstrap resamples.
        level: coverage, such as 0.95.
        seed: seed of the resampling.
        bounds: the least and greatest value that a problem can have.
    """
    values = np.asarray(per_problem, dtype=np.float64)
    n = values.size
    if n == 0:
        raise ValueError("an interval over problems needs at least one problem")
    mean, alpha = float(values.mean()), 1.0 - level
    if np.all(values == values[0]):
        slack = 1.0 - (alpha / 2.0) ** (1.0 / n)
        return Interval(mean, mean - slack * (mean - bounds[0]), mean + slack * (bounds[1] - mean), n)
    tail = NormalDist().cdf(-((n / (n - 1)) ** 0.5) * student_quantile(1.0 - alpha / 2.0, n - 1))
    low, high = np.quantile(resampled_means(values, resamples, seed), [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high), n)


def resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Means of bootstrap resamples of ``values``, shape (resamples,), a block at a time."""
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    rows = max(1, BLOCK // values.size)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        means[start : start + count] = values[rng.integers(0, values.size, (count, values.size))].mean(axis=1)
    return means


def over_decoding(
    correct: ArrayLike, k: int | None = None, resamples: int = 2_000, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of avg@n (``k`` None) or pass@k from the chance of decoding alone, problems held fixed.

    The number of right samples of each problem is redrawn from Binomial(n, c/n); the interval is the estimate
    plus and minus the normal quantile times the spread of the redrawn estimates, inside [0, 1]. (Their
    quantiles would be biased: samples drawn with replacement repeat, which lowers pass@k.)

    Args:
        correct: 0/1 array of shape (problems, samples).
        k: of pass@k, or None for avg@n.
        resamples: number of redraws.
        level: coverage.
        seed: seed of the redraws.
    """
    matrix = np.asarray(correct)
    problems, n = matrix.shape
    counts = matrix.astype(np.int64).sum(axis=1)
    table = np.arange(n + 1) / n if k is None else pass_at_k_table(n, k)
    value = float(table[counts].mean())
    rng = np.random.default_rng(seed)
    redrawn = np.empty(resamples)
    rows = max(1, BLOCK // problems)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        redrawn[start : start + count] = table[rng.binomial(n, counts / n, (count, problems))].mean(axis=1)
    spread = NormalDist().inv_cdf(0.5 + level / 2.0) * float(redrawn.std()) * (n / max(1, n - 1)) ** 0.5
    return max(0.0, value - spread), min(1.0, value + spread)


def student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t from the normal one (Cornish-Fisher, third order; 1% off at 3 degrees)."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4.0
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96.0
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384.0
    return z + first / degrees + second / degrees**2 + third / degrees**3

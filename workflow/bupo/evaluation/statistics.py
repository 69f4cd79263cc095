"""Numbers of an evaluation: avg@n, pass@k and maj@k of each problem. Pure numpy, fixed seeds."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
DRAWS = 200


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


def camps(keys: Sequence[str | None], correct: Sequence[bool]) -> Counts:
    """How many samples of a problem vote alike: the right ones, those without a vote, each wrong answer.

    Args:
        keys: spelling of each sample's answer under which equal answers agree; what is no text, as None or
            a table's NaN, does not vote.
        correct: whether each sample is right. All right samples are one camp, however they spell it.
    """
    wrong = [key for key, right in zip(keys, correct, strict=True) if not right]
    votes = Counter(key for key in wrong if isinstance(key, str))
    silent = len(wrong) - votes.total()
    return np.array([len(keys) - len(wrong), silent, *votes.values()], dtype=np.int64)


def share_of_right(counts: Counts) -> Floats:
    """1 where the right answer is the most frequent one, its share of a tie, else 0.

    Args:
        counts: as `camps` gives them, along the last axis; shape (..., camps).
    """
    voting = np.delete(counts, 1, axis=-1)
    most = voting.max(axis=-1, keepdims=True)
    leaders = (voting == most).sum(axis=-1)
    return np.where((voting[..., 0] == most[..., 0]) & (most[..., 0] > 0), 1.0 / leaders, 0.0)


def majority(keys: Sequence[str | None], correct: Sequence[bool]) -> float:
    """maj@n of one problem: the chance that the most frequent answer is right, ties broken at random."""
    return float(share_of_right(camps(keys, correct)))


def majority_at_k(counts: Counts, k: int, draws: int = DRAWS, seed: int = 0) -> float:
    """maj@k of one problem: the mean of `majority` over ``draws`` random subsets of k of its samples.

    Args:
        counts: of the problem's samples, as `camps` gives them.
        k: size of a subset; with all samples there is only one.
        draws: number of subsets.
        seed: of the subsets.

    Raises:
        ValueError: if k is below 1 or above the number of samples.
    """
    n = int(counts.sum())
    if not 1 <= k <= n:
        raise ValueError(f"maj@{k} of {n} samples: k from 1 to {n} would be right")
    if k == n:
        return float(share_of_right(counts))
    subsets = np.random.default_rng(seed).multivariate_hypergeometric(counts, k, size=draws)
    return float(share_of_right(subsets).mean())


def majority_variance(counts: Counts, k: int, draws: int = DRAWS, seed: int = 0) -> float:
    """Variance of `majority_at_k` from the chance of decoding: mostly an upper bound.

    A mean over all subsets of k of n samples has a variance of at most k/n times that of one draw of k
    samples (Hoeffding 1948, theorem 5.2). That of one is estimated from draws with replacement, which with
    k = n is up to a third too low where two answers are nearly as frequent.
    """
    n = int(counts.sum())
    fresh = np.random.default_rng(seed).multinomial(k, counts / n, size=draws)
    chance = float(share_of_right(fresh).mean())
    return k / max(1, n - 1) * chance * (1.0 - chance)

"""Means over tokens with intervals clustered by problem, streamed: constant memory in the number of problems.

Tokens of one response are far from independent, so that the problem is the unit that was sampled. The mean
over all tokens is a ratio of two sums over problems (of values and of tokens), and its variance is the
cluster-robust one of a ratio (linearised): C/(C-1) sum_c (S_c - mean n_c)^2 / N^2, with S_c and n_c the sum
and the number of tokens of problem c, and a t interval with C-1 degrees of freedom. No bootstrap: six sums
are enough.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Means with their intervals, each [R]; ``low`` and ``high`` are NaN with fewer than two problems."""

    mean: Array
    low: Array
    high: Array


class ClusteredMeans:
    """Running sums of R quantities over tokens in clusters.

    The order in which the clusters come decides the rounding, so that it should be the same each time.
    """

    def __init__(self, rows: int) -> None:
        """Start empty, for ``rows`` quantities."""
        self.clusters = 0
        self.tokens = 0
        self.tokens_squared = 0
        self.sums: Array = np.zeros(rows)
        self.sums_squared: Array = np.zeros(rows)
        self.sums_times_tokens: Array = np.zeros(rows)

    def add(self, sums: Array, tokens: int) -> None:
        """Take in one whole problem: sums over its tokens, [R], and their number (0 leaves no trace)."""
        if tokens == 0:
            return
        self.clusters += 1
        self.tokens += tokens
        self.tokens_squared += tokens * tokens
        self.sums += sums
        self.sums_squared += sums * sums
        self.sums_times_tokens += sums * tokens

    def interval(self, level: float) -> Interval:
        """Means and their intervals at a level such as 0.95."""
        if self.tokens == 0:
            nothing = np.full_like(self.sums, np.nan)
            return Interval(nothing, nothing, nothing)
        mean = self.sums / self.tokens
        if self.clusters < 2:
            unknown = np.full_like(mean, np.nan)
            return Interval(mean, unknown, unknown)
        spread = self.sums_squared - 2 * mean * self.sums_times_tokens + mean**2 * self.tokens_squared
        variance = np.maximum(spread, 0) * self.clusters / (self.clusters - 1) / self.tokens**2
        half = float(stdtrit(self.clusters - 1, (1 + level) / 2)) * np.sqrt(variance)
        return Interval(mean, mean - half, mean + half)

"""Where the spread of a score is from: training seeds, problems, or the tokens that the decoder drew."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class VarianceSplit:
    """Parts of the variance of a mean score; their sum is that variance.

    Attributes:
        seeds: other training seeds on the same problems; None with one seed.
        problems: other problems.
        seeds_and_problems: that a seed does better on some problems than others do; None with one seed, where
            it cannot be told from ``problems``.
        decoding: other samples; None with one sample, where it cannot be told from the rest.
    """

    seeds: float | None
    problems: float
    seeds_and_problems: float | None
    decoding: float | None


def variance_split(correct: ArrayLike) -> VarianceSplit:
    """Split the variance of the mean of a 0/1 array of shape (seeds, problems, samples).

    The model is x = mean + a(seed) + b(problem) + c(seed, problem) + d(sample) with independent parts of
    variances A, B, C, D; they are estimated from the mean squares of the two-way analysis of variance
    (Searle, Casella and McCulloch 1992, section 4.2), less than nothing being nothing:

        D = MS(within),  C = (MS(seed x problem) - D) / n,
        B = (MS(problem) - MS(seed x problem)) / (S n),  A = (MS(seed) - MS(seed x problem)) / (P n)

    and the variance of the mean is A/S + B/P + C/(S P) + D/(S P n) for S seeds, P problems, n samples.

    Raises:
        ValueError: if there are fewer than two problems.
    """
    x = np.asarray(correct, dtype=np.float64)
    seeds, problems, n = x.shape
    if problems < 2:
        raise ValueError(f"{problems} problem; the variance over problems needs two or more")
    cells = x.mean(axis=2)
    by_seed, by_problem, mean = cells.mean(axis=1), cells.mean(axis=0), cells.mean()
    within = float(((x - cells[:, :, None]) ** 2).sum() / (seeds * problems * (n - 1))) if n > 1 else 0.0
    over_problem = float(seeds * n * ((by_problem - mean) ** 2).sum() / (problems - 1))
    decoding = within / (seeds * problems * n) if n > 1 else None
    if seeds == 1:
        return VarianceSplit(None, max(0.0, over_problem - within) / (n * problems), None, decoding)
    over_seed = float(problems * n * ((by_seed - mean) ** 2).sum() / (seeds - 1))
    rest = cells - by_seed[:, None] - by_problem[None, :] + mean
    both = float(n * (rest**2).sum() / ((seeds - 1) * (problems - 1)))
    total = seeds * problems * n
    return VarianceSplit(
        seeds=max(0.0, over_seed - both) / total,
        problems=max(0.0, over_problem - both) / total,
        seeds_and_problems=max(0.0, both - within) / total,
        decoding=decoding,
    )

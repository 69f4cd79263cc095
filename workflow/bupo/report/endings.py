"""How the responses of a cell ended on some problems: cut off, without a box, how long, graders at odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bupo.evaluation.summary import disagreeing
from bupo.report.cells import Cell


@dataclass(frozen=True)
class Endings:
    """Of all responses of a cell to some problems.

    Attributes:
        n_responses: how many, all seeds together.
        truncated, no_box: shares of them, cut off at the length limit and without a box; mean_tokens: their
            mean length. Of several benchmarks the plain means, as of scores.
        at_odds: samples that the two grading rules score differently.
    """

    n_responses: int
    truncated: float
    no_box: float
    mean_tokens: float
    at_odds: int


def endings(cell: Cell, within: Mapping[str, Sequence[str]]) -> Endings:
    """The endings of an evaluated cell.

    Args:
        cell: with an evaluation on each of the benchmarks.
        within: the ids of the problems that count, by benchmark.
    """
    shares, responses, at_odds = [], 0, 0
    for benchmark, ids in within.items():
        for run in cell.runs:
            scores = run.evaluated[benchmark].scores
            scores = scores[scores["problem_id"].isin(ids)]
            cut, empty = scores["finish_reason"] == "length", scores["answer"].isna()
            shares.append((cut.mean(), empty.mean(), scores["n_tokens"].mean()))
            responses += len(scores)
            at_odds += int(disagreeing(scores).sum())
    truncated, no_box, tokens = np.mean(shares, axis=0).tolist()
    return Endings(responses, truncated, no_box, tokens, at_odds)

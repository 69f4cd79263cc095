"""From graded samples to the numbers of ``summary.json``."""

from typing import Any

import numpy as np

from bupo.evaluation.comparison import correct_matrix
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.intervals import over_decoding, over_problems, spread_interval
from bupo.evaluation.statistics import (
    Counts,
    camps,
    majority_at_k,
    majority_variance,
    pass_at_k_per_problem,
)
from bupo.grading import RULES, STATUSES

Number = dict[str, float]


def summarise(scores: Any, settings: EvaluationSettings) -> dict[str, Any]:
    """The numbers of one evaluation.

    Args:
        scores: table with problem_id, sample, correct, status, key, n_tokens, finish_reason, answer, and
            correct_<rule> and status_<rule> of each grading rule.
        settings: of the evaluation.

    Returns:
        ``avg_at_n``, ``pass_at_k`` and ``maj_at_k`` (by k), ``maj_at_n``: each with an interval over problems
        (low, high) and one over decoding (decoding_low, decoding_high) at ``level``, over ``n_problems``
        problems with ``n_samples`` samples; shares of truncated responses, of responses without a box and of
        those that the grader gave up; mean length in tokens; by each rule avg@n and how many samples have
        which status; on how many samples the rules disagree.
    """
    _, matrix = correct_matrix(scores)
    level = settings.bootstrap.level
    votes = [camps(list(g["key"]), list(g["correct"])) for _, g in scores.groupby("problem_id", sort=True)]
    n, ks = int(matrix.shape[1]), sorted(settings.pass_at_k)
    return {
        "n_problems": int(matrix.shape[0]),
        "n_samples": n,
        "level": level,
        "avg_at_n": _estimate(matrix, None, level),
        "pass_at_k": {str(k): _estimate(matrix, k, level) for k in ks},
        "maj_at_n": _majority(votes, n, level),
        "maj_at_k": {str(k): _majority(votes, k, level) for k in ks},
        "truncated_share": float((scores["finish_reason"] == "length").mean()),
        "no_box_share": float(scores["answer"].isna().mean()),
        "grader_timeout_share": float((scores["status"] == "grader_timeout").mean()),
        "mean_tokens": float(scores["n_tokens"].mean()),
        "status_counts": _counts(scores["status"]),
        "status_counts_by_grader": {rule: _counts(scores[f"status_{rule}"]) for rule in RULES},
        "avg_by_grader": {rule: float(scores[f"correct_{rule}"].mean()) for rule in RULES},
        "grader_disagreements": int(disagreeing(scores).sum()),
        "grader": settings.grader,
    }


def disagreeing(scores: Any) -> Any:
    """Whether the grading rules differ on each sample of a score table."""
    return scores[[f"correct_{rule}" for rule in RULES]].nunique(axis=1).gt(1)


def _estimate(matrix: Any, k: int | None, level: float) -> Number:
    per_problem = matrix.mean(axis=1) if k is None else pass_at_k_per_problem(matrix, k)
    value, low, high, _ = over_problems(per_problem, level=level)
    decoding_low, decoding_high = over_decoding(matrix, k, level)
    return _number(value, low, high, decoding_low, decoding_high)


def _majority(votes: list[Counts], k: int, level: float) -> Number:
    values = np.array([majority_at_k(counts, k) for counts in votes])
    value, low, high, _ = over_problems(values, level=level)
    variance = sum(majority_variance(counts, k) for counts in votes) / len(votes) ** 2
    return _number(value, low, high, *spread_interval(value, variance, level))


def _number(value: float, low: float, high: float, decoding_low: float, decoding_high: float) -> Number:
    return {
        "value": value,
        "low": low,
        "high": high,
        "decoding_low": decoding_low,
        "decoding_high": decoding_high,
    }


def _counts(statuses: Any) -> dict[str, int]:
    found = statuses.value_counts()
    return {status: int(found.get(status, 0)) for status in STATUSES}

"""From graded samples to the numbers of ``summary.json``."""

from typing import Any

import numpy as np

from bupo.evaluation.comparison import correct_matrix
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.statistics import majority, over_decoding, over_problems, pass_at_k_per_problem
from bupo.grading import RULES


def summarise(scores: Any, settings: EvaluationSettings) -> dict[str, Any]:
    """The numbers of one evaluation.

    Args:
        scores: table with problem_id, sample, correct, status, key, n_tokens, finish_reason and
            correct_<rule>.
        settings: of the evaluation.

    Returns:
        ``avg_at_n``, ``pass_at_k`` (by k), each with an interval over problems (low, high) and over decoding;
        ``maj_at_n`` with one over problems; shares of truncated responses and of responses without a box;
        mean length in tokens; avg@n by each rule, and on how many samples the rules disagree.
    """
    _, matrix = correct_matrix(scores)
    bootstrap = settings.bootstrap

    def estimate(k: int | None) -> dict[str, float]:
        per_problem = matrix.mean(axis=1) if k is None else pass_at_k_per_problem(matrix, k)
        value, low, high, _ = over_problems(per_problem, bootstrap.resamples, bootstrap.level)
        decoding_low, decoding_high = over_decoding(matrix, k, level=bootstrap.level)
        return {
            "value": value,
            "low": low,
            "high": high,
            "decoding_low": decoding_low,
            "decoding_high": decoding_high,
        }

    votes = [majority(list(g["key"]), list(g["correct"])) for _, g in scores.groupby("problem_id", sort=True)]
    maj = over_problems(np.array(votes), bootstrap.resamples, bootstrap.level)
    return {
        "n_problems": int(matrix.shape[0]),
        "n_samples": int(matrix.shape[1]),
        "avg_at_n": estimate(None),
        "pass_at_k": {str(k): estimate(k) for k in sorted(settings.pass_at_k)},
        "maj_at_n": {"value": maj.value, "low": maj.low, "high": maj.high},
        "truncated_share": float((scores["finish_reason"] == "length").mean()),
        "no_box_share": float(scores["answer"].isna().mean()),
        "mean_tokens": float(scores["n_tokens"].mean()),
        "status_counts": {
            str(status): int(count) for status, count in scores["status"].value_counts().items()
        },
        "avg_by_grader": {rule: float(scores[f"correct_{rule}"].mean()) for rule in RULES},
        "grader_disagreements": int(
            scores[[f"correct_{rule}" for rule in RULES]].nunique(axis=1).gt(1).sum()
        ),
        "grader": settings.grader,
    }

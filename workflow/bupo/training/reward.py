"""The reward of a response: 1 for a right answer, else 0, by `bupo.grading`, in verl's reward interface."""

from functools import cache
from typing import Any

from bupo.grading import Grader


@cache
def _grader(rule: str) -> Grader:
    return Grader(rule=rule)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Any = None,
    *,
    grader: str,
    **kwargs: Any,
) -> dict[str, Any]:
    """Grade a response; there is no term for format or length (paper, settings).

    Args:
        data_source: name of the training set.
        solution_str: the response as text.
        ground_truth: the gold answer.
        extra_info: of the row; not read.
        grader: the rule, ``bupo.reward.grader``.
        kwargs: what else verl may pass; not read.

    Returns:
        ``score`` and ``acc`` (both 1.0 or 0.0) and ``no_box`` (1.0 where the response holds no boxed answer).
    """
    grade = _grader(grader).grade(ground_truth, solution_str)
    correct = float(grade.correct)
    return {"score": correct, "acc": correct, "no_box": float(grade.status == "no_box")}

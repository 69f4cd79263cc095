"""The reward of `gpu_check_run`'s training: one that a random model can raise."""

from typing import Any


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **kwargs: Any
) -> dict[str, float]:
    return {"score": sum(letter in "aeiou" for letter in solution_str) / 32}

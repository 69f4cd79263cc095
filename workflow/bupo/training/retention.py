"""Which checkpoint is the best one.

Where verl validates (``trainer.test_freq`` > 0), the score of a checkpoint is the mean of what verl validates
with at its step: the mean score of each data source. A checkpoint of a step without a validation has none.
Elsewhere it is the mean training reward of the last `WINDOW` steps; the reward of a step is of samples that
were drawn before its update.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bupo.training.integrity import Score

WINDOW = 5
REWARD = "critic/score/mean"
VALIDATION = "val-core/"


def score(lines: Sequence[Mapping[str, Any]], validated: bool) -> Score | None:
    """The score of the checkpoint of the last line's step.

    Args:
        lines: the metrics of the steps up to it.
        validated: whether verl validates in this run.

    Returns:
        None where nothing was measured.
    """
    if validated:
        values = [value for key, value in lines[-1].items() if key.startswith(VALIDATION) and "/mean@" in key]
        return _mean("validation", values)
    return _mean("reward", [line[REWARD] for line in lines[-WINDOW:] if REWARD in line])


def _mean(metric: str, values: Sequence[float]) -> Score | None:
    return Score(metric=metric, value=sum(values) / len(values)) if values else None

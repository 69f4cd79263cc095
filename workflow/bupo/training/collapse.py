"""The guard that ends a run whose policy has collapsed (``bupo.collapse``; off unless it is enabled).

Training an internal policy for too long ruins the policy above it (paper, ablation of s_inter). All bounds
are of the full policy's responses, which are drawn in every phase. A run that breaks one of them in
``patience`` steps in a row ends with the status "collapsed": its model is that of the last of these steps,
its evaluation is made as any other, and every place that shows a number of it says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from bupo.validation import Strict

COMPLETED, COLLAPSED = "completed", "collapsed"
BOUNDS = {
    "max_repetition": "bupo/repetition",
    "max_truncated": "bupo/truncated",
    "max_entropy": "bupo/entropy_full",
    "min_entropy": "bupo/entropy_full",
    "max_perplexity": "bupo/perplexity_full",
    "min_length": "response_length/mean",
}
"""The metric that each bound is of."""


class CollapseSettings(Strict):
    """``bupo.collapse``; a bound that is null is none.

    Attributes:
        enabled: whether a run may end by this.
        patience: steps in a row that have to break the same bound.
        max_repetition: mean share of a response's 8-grams of tokens that were there before in it.
        max_truncated: share of responses that are cut off at their longest length.
        max_entropy, min_entropy: of the full policy, nats per generated token.
        max_perplexity: of the sampled tokens under the full policy.
        min_length: mean length of a response, tokens.
    """

    enabled: bool = False
    patience: int = Field(default=3, ge=1)
    max_repetition: float | None = Field(default=0.5, ge=0, lt=1)
    max_truncated: float | None = Field(default=0.9, ge=0, lt=1)
    max_entropy: float | None = Field(default=5.0, gt=0)
    min_entropy: float | None = Field(default=None, gt=0)
    max_perplexity: float | None = Field(default=100.0, gt=1)
    min_length: float | None = Field(default=None, gt=1)


@dataclass(frozen=True)
class Collapse:
    """What a run ended by.

    Attributes:
        step: the last one.
        bound: its key in ``bupo.collapse``.
        limit: its value there.
        metric: what it is of.
        values: of the metric in the steps that broke it, up to ``step``.
    """

    step: int
    bound: str
    limit: float
    metric: str
    values: tuple[float, ...]

    def __str__(self) -> str:
        """For people."""
        values = ", ".join(f"{value:.3g}" for value in self.values)
        return (
            f"collapsed at step {self.step}: {self.metric} was {values} in its last steps "
            f"({self.bound}: {self.limit:g})"
        )

    def account(self) -> dict[str, Any]:
        """As it stands in ``done.json``."""
        return {**asdict(self), "values": list(self.values)}


class Collapsed(Exception):
    """The run ended by its guard."""

    def __init__(self, evidence: Collapse) -> None:
        super().__init__(str(evidence))
        self.evidence = evidence


def find_collapse(lines: Sequence[Mapping[str, Any]], settings: CollapseSettings) -> Collapse | None:
    """Whether the last steps broke a bound.

    Args:
        lines: the metrics of the steps so far.
        settings: the guard's.

    Returns:
        The first bound that all of the last ``patience`` steps broke; None where there is none. A step that
        lacks the metric breaks nothing.
    """
    last = lines[-settings.patience :]
    if not settings.enabled or len(last) < settings.patience:
        return None
    for bound, metric in BOUNDS.items():
        limit = getattr(settings, bound)
        values = [line[metric] for line in last if metric in line]
        if limit is None or len(values) < len(last):
            continue
        if all(value > limit if bound.startswith("max_") else value < limit for value in values):
            return Collapse(int(last[-1]["step"]), bound, limit, metric, tuple(values))
    return None

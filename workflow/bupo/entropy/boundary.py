"""The boundary layer and the three stages of the EIC pattern, with a tolerance and an interval.

The paper reads both off the FFN entropy change: above zero exploration, about zero integration, below zero
convergence; the boundary is the last layer above zero. It gives no tolerance and no interval: those are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bupo.entropy.settings import Analysis
from bupo.entropy.slices import ALL

Stage = Literal["exploration", "integration", "convergence", "undecided"]


@dataclass(frozen=True)
class FfnChange:
    """Mean FFN entropy change of a layer in nats, with its interval (NaN where there is none)."""

    layer: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Boundary:
    """The verdict: ``boundary_layer`` is one that can be trained (1..L-1) where clear, else None."""

    status: Literal["clear", "unclear"]
    boundary_layer: int | None
    reason: str
    stages: list[Stage]


def stage(change: FfnChange, tolerance: float) -> Stage:
    """The stage of one layer: its whole interval lies above, within or below the band, or it straddles."""
    if change.low > tolerance:
        return "exploration"
    if change.high < -tolerance:
        return "convergence"
    if -tolerance <= change.low and change.high <= tolerance:
        return "integration"
    return "undecided"


def find_boundary(changes: Sequence[FfnChange], tolerance: float) -> Boundary:
    """The last layer whose FFN raises the entropy by more than the tolerance.

    Clear only if its interval lies above the tolerance and no later layer's reaches above it, and if the
    layer is not the last: at k = L there is no internal policy to train.

    Args:
        changes: one for each layer, bottom first.
        tolerance: nats, not negative.

    Raises:
        ValueError: there is no layer, or they are not 1..L in order.
    """
    if [change.layer for change in changes] != list(range(1, len(changes) + 1)) or not changes:
        raise ValueError("one FFN change for each layer, 1..L in order, is needed")
    stages = [stage(change, tolerance) for change in changes]
    band = f"{tolerance:g} nats"

    def unclear(reason: str) -> Boundary:
        return Boundary("unclear", None, reason, stages)

    if any(math.isnan(change.low) or math.isnan(change.high) for change in changes):
        return unclear("Fewer than two problems were analysed, so that there are no intervals to judge by.")
    above = [change.layer for change, each in zip(changes, stages, strict=True) if each == "exploration"]
    last = above[-1] if above else 0
    open_layers = [change for change in changes[last:] if change.high > tolerance]
    if open_layers:
        doubtful = open_layers[-1]
        where = f"the last one surely above it is layer {last}" if last else "no layer is surely above it"
        return unclear(
            f"The FFN change of layer {doubtful.layer} ({_interval(doubtful)}) may or may not exceed {band}, "
            f"and {where}."
        )
    if not last:
        return unclear(
            f"No layer's FFN raises the entropy by more than {band}, so that there is no boundary layer."
        )
    if last == len(changes):
        return unclear(
            f"The FFN of the last layer, {last}, still raises the entropy by more than {band} "
            f"({_interval(changes[-1])}), so that no layer below the top is a boundary."
        )
    return Boundary(
        "clear",
        last,
        f"Layer {last} is the last whose FFN raises the entropy by more than {band} "
        f"({_interval(changes[last - 1])}); every later layer's interval ends at or below that.",
        stages,
    )


def boundary_record(table: pd.DataFrame, name: str, files: list[str], settings: Analysis) -> dict[str, Any]:
    """``boundary.json`` from the statistics: see `find_boundary`.

    Args:
        table: the statistics.
        name: of the model.
        files: names of the problem files.
        settings: of the analysis.
    """
    chosen = table[
        (table.quantity == "entropy_change")
        & (table.policy == "ffn")
        & (table.lens == settings.boundary_lens)
        & (table.slice == ALL)
    ].sort_values("layer")
    changes = [
        FfnChange(*line)
        for line in chosen[["layer", "mean", "low", "high"]].itertuples(index=False, name=None)
    ]
    found = find_boundary(changes, settings.tolerance)
    return {
        "model": name,
        "layers": len(changes),
        "status": found.status,
        "boundary_layer": found.boundary_layer,
        "recommended_layer": found.boundary_layer,
        "tolerance": settings.tolerance,
        "lens": settings.boundary_lens,
        "level": settings.level,
        "reason": found.reason,
        "evidence": [
            {
                "layer": int(change.layer),
                "ffn_change": change.mean,
                "low": None if math.isnan(change.low) else change.low,
                "high": None if math.isnan(change.high) else change.high,
                "stage": stage,
            }
            for change, stage in zip(changes, found.stages, strict=True)
        ],
        "problem_files": files,
        "n_tokens": int(chosen.n_tokens.iloc[0]),
        "n_problems": int(chosen.n_problems.iloc[0]),
        "interval": "over problems (clusters of tokens), t interval of a ratio of sums",
        "settings": settings.model_dump(),
    }


def _interval(change: FfnChange) -> str:
    return f"{change.mean:+.3f}, interval {change.low:+.3f} to {change.high:+.3f}"

"""The flow over training: entropy, perplexity, and layer k against later layers, over the steps of runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bupo.figures.entropy_flow import NATS
from bupo.figures.layer_axis import draw_line
from bupo.figures.panel import Panel, finish
from bupo.figures.style import (
    INK,
    SMALL,
    headline,
    label_bottom,
    legend_below,
    new_facets,
    new_figure,
    whole_numbers,
)
from bupo.figures.training_flow import TrainedRun, TrainingFlow

STEP = "trainer step"
FEW = 6  # runs beyond which bands would hide each other


def perplexity(flow: TrainingFlow) -> Panel | None:
    """Perplexity of the final policy on its own responses, over the steps of every run."""
    figure, axes = new_figure()
    shown = []
    for run, drawn in flow.runs.items():
        rows = flow.rows(run, "nll", "final", "final_norm")
        if rows.empty:
            continue
        shown.append(rows)
        bounds = {name: np.exp(rows[name]) for name in ("mean", "low", "high")}
        _line(axes, flow, rows.assign(**bounds), drawn)
    if not shown:
        return None
    _finish_steps(axes, flow, most=10)
    axes.set_title(f"Perplexity of the final policy: {flow.model}")
    axes.set_xlabel(STEP)
    axes.set_ylabel("perplexity")
    legend_below(figure, axes)
    note = "Perplexity: exp of the mean negative log-prob (and its bounds) of its responses' tokens."
    return finish(
        figure,
        f"flow-perplexity-{flow.model}",
        f"Perplexity of the final policy over the training steps of every run of {flow.model}.",
        flow.caption(pd.concat(shown), note, banded=len(flow.runs) <= FEW),
    )


def entropy_by_step(flow: TrainingFlow, lens: str) -> Panel | None:
    """Entropy of some layers' policies over the steps of every run: one panel for each layer."""
    layers = spread(1, flow.layers, {*flow.anchors, flow.layers}, most=6)
    return _facets(
        flow,
        {f"layer {layer}": _choice("entropy", lens, layer) for layer in layers},
        f"flow-entropy-{lens}-{flow.model}",
        f"Entropy of layer policies, {lens.replace('_', ' ')} lens: {flow.model}",
        NATS,
        lens,
        columns=2,
        same_y=False,
    )


def cosine_by_step(flow: TrainingFlow, anchor: int) -> Panel | None:
    """Cosine of layer k's state with some later layers' over the steps of every run."""
    return _facets(
        flow,
        {
            f"k = {anchor}, layer {m}": _choice("cosine_to_later", "raw", m, anchor)
            for m in _later(flow, anchor)
        },
        f"flow-cosine-k{anchor}-{flow.model}",
        f"Cosine of layer {anchor}'s state with later ones: {flow.model}",
        "cosine",
        None,
    )


def kl_by_step(flow: TrainingFlow, anchor: int, lens: str) -> Panel | None:
    """KL divergence from layer k's policy to some later layers' over the steps of every run."""
    return _facets(
        flow,
        {f"k = {anchor}, layer {m}": _choice("kl_to_later", lens, m, anchor) for m in _later(flow, anchor)},
        f"flow-kl-k{anchor}-{lens}-{flow.model}",
        f"KL from layer {anchor} to later ones, {lens.replace('_', ' ')} lens: {flow.model}",
        "nats per token",
        lens,
    )


def spread(first: int, last: int, wanted: set[int], most: int) -> list[int]:
    """``wanted`` layers of first..last, and others as far from them as can be, ``most`` in all."""
    chosen = sorted(layer for layer in wanted if first <= layer <= last)[-most:] or [last]
    while len(chosen) < min(most, last - first + 1):
        gaps = {layer: min(abs(layer - other) for other in chosen) for layer in range(first, last + 1)}
        chosen.append(max(gaps, key=lambda layer: gaps[layer]))
    return sorted(chosen)


def _choice(quantity: str, lens: str, layer: int, anchor: int | None = None) -> dict[str, Any]:
    return {"quantity": quantity, "policy": "layer", "lens": lens, "layer": layer, "anchor": anchor}


def _later(flow: TrainingFlow, anchor: int) -> list[int]:
    return spread(anchor + 1, flow.layers, {anchor + 1, flow.layers}, most=3)


def _line(axes: Axes, flow: TrainingFlow, rows: pd.DataFrame, drawn: TrainedRun, markers: int = 20) -> None:
    banded = len(flow.runs) <= FEW
    draw_line(axes, rows, drawn.look, drawn.label, x="step", markers=markers, banded=banded)


def _finish_steps(axes: Axes, flow: TrainingFlow, most: int) -> None:
    for end in sorted({end for drawn in flow.runs.values() for end in drawn.switches}):
        axes.axvline(end + 0.5, color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    axes.set_xlim(-0.5, float(flow.table["step"].max()) + 0.5)
    whole_numbers(axes, most)


def _facets(
    flow: TrainingFlow,
    facets: Mapping[str, Mapping[str, Any]],
    name: str,
    title: str,
    unit: str,
    lens: str | None,
    *,
    columns: int = 3,
    same_y: bool = True,
) -> Panel | None:
    """One small panel for each of ``facets`` (title: which rows), a line for each run."""
    found = {
        title: [
            (rows, drawn) for run, drawn in flow.runs.items() if not (rows := flow.rows(run, **chosen)).empty
        ]
        for title, chosen in facets.items()
    }
    found = {title: lines for title, lines in found.items() if lines}
    if not found:
        return None
    figure, grid = new_facets(len(found), 1.5 if columns == 2 else 1.9, columns=columns, same_y=same_y)
    for axes, (heading, lines) in zip(grid, found.items(), strict=True):
        for rows, drawn in lines:
            _line(axes, flow, rows, drawn, markers=10)
        _finish_steps(axes, flow, most=10 // columns + 1)
        axes.set_title(heading, fontsize=8.5)
        axes.tick_params(labelsize=SMALL)
    label_bottom(grid, STEP)
    figure.supylabel(unit, fontsize=9)
    headline(figure, title)
    legend_below(figure, *grid)
    shown = pd.concat([rows for lines in found.values() for rows, _ in lines])
    alt = f"{title}, over the training steps of every run."
    return finish(figure, name, alt, flow.caption(shown, lens=lens, banded=len(flow.runs) <= FEW))

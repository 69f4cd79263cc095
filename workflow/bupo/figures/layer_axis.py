"""Axes over layers: ticks that fit, lines with bands, the boundary layer, the three stages."""

from itertools import groupby

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.typing import ColorType

from bupo.figures.hover import hover
from bupo.figures.study import Study
from bupo.figures.style import INK, MUTED, PALETTE, SMALL, Look

POLICIES = {
    "layer": Look(PALETTE["c1"], "o", "solid"),
    "attention": Look(PALETTE["c2"], "^", "dashed"),
    "ffn": Look(PALETTE["c0"], "s", "dashdot"),
}
LENS_LOOKS = {
    "raw": Look(PALETTE["c1"], "o", "solid"),
    "final_norm": Look(PALETTE["c4"], "s", "dashed"),
}
STAGES: dict[str, tuple[ColorType, float, str | None]] = {
    "exploration": (PALETTE["c4"], 0.22, None),
    "integration": (PALETTE["base"], 0.1, None),
    "convergence": (PALETTE["c5"], 0.22, None),
    "undecided": ("none", 0.3, "////"),
}
_STEPS = (1, 2, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)


def layer_ticks(first: int, last: int, most: int = 10) -> list[int]:
    """Layers to label between ``first`` and ``last``: both ends, and even steps that do not crowd them."""
    step = next((s for s in _STEPS if last / s <= most - 1), last)
    between = [layer for layer in range(step, last, step) if layer > first and last - layer > 0.6 * step]
    return sorted({first, *(layer for layer in between if layer - first > 0.6 * step), last})


def finish_layers(axes: Axes, study: Study, title: str, unit: str, *, embedding: bool = False) -> None:
    """Title, labels and ticks of an axis over layers; ``embedding``: with the state before layer 1."""
    first = 0 if embedding else 1
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.set_xlabel("layer (0 is the embedding)" if embedding else "layer, counted from 1")
    axes.set_xticks(layer_ticks(first, study.layers))
    room = max(0.4, 0.012 * study.layers)
    axes.set_xlim(first - room, study.layers + room)


def draw_line(
    axes: Axes,
    rows: pd.DataFrame,
    look: Look,
    label: str,
    x: str = "layer",
    *,
    markers: int = 20,
    points: int | None = None,
    banded: bool = True,
) -> None:
    """A line with its band of intervals.

    Args:
        axes: where.
        rows: its points, in order.
        look: of the line; the band has its colour.
        label: in the legend.
        x: the column that is drawn along.
        markers: at most so many points are marked; lines and marks are finer where there are many.
        points: of the longest line of the figure, so that all are equally fine; this one's where left out.
        banded: with the band.
    """
    if banded:
        axes.fill_between(rows[x], rows["low"], rows["high"], color=look.color, alpha=0.2, linewidth=0)
    many = (points or len(rows)) > 0.8 * markers
    every = -(-len(rows) // markers)
    (line,) = axes.plot(
        rows[x],
        rows["mean"],
        color=look.color,
        marker=look.marker,
        linestyle=look.dash,
        markersize=2.8 if many else 4.5,
        markevery=every,
        linewidth=1.2 if many else 1.7,
        label=label,
    )
    shown = rows.iloc[::every]
    hover(line, [f"{label}, {x} {row[x]:g}: {_with_bounds(row)}" for _, row in shown.iterrows()])


def _with_bounds(row: "pd.Series[float]") -> str:
    if pd.isna(row["low"]):
        return f"{row['mean']:.4g}"
    return f"{row['mean']:.4g} ({row['low']:.4g} to {row['high']:.4g})"


def mark_boundary(axes: Axes, study: Study) -> None:
    """The boundary layer as a dashed line, or the word that it is unclear."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))
    layer = study.boundary["boundary_layer"]
    if layer is None:
        _note(axes, "boundary: unclear", (1.0, 1.0), "axes fraction", "right")
        return
    axes.axvline(layer, color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    right = layer <= 0.6 * study.layers
    _note(axes, f"boundary: layer {layer}", (layer, 1.0), "data", "left" if right else "right")


def shade_stages(axes: Axes, study: Study) -> None:
    """The stages that the FFN change puts the layers in, as shades behind the lines."""
    named: set[str] = set()
    for stage, group in groupby(study.boundary["evidence"], key=lambda row: str(row["stage"])):
        layers = [row["layer"] for row in group]
        color, alpha, hatch = STAGES[stage]
        axes.axvspan(
            layers[0] - 0.5,
            layers[-1] + 0.5,
            facecolor=color,
            edgecolor=MUTED if hatch else "none",
            alpha=alpha,
            hatch=hatch,
            linewidth=0,
            zorder=0,
            label="_" if stage in named else stage,
        )
        named.add(stage)


def _note(axes: Axes, text: str, where: tuple[float, float], x: str, align: str) -> None:
    coordinates = (x, "axes fraction") if x == "data" else x
    axes.annotate(
        text,
        where,
        xycoords=coordinates,
        xytext=(4 if align == "left" else -4, -2),
        textcoords="offset points",
        va="top",
        ha=align,
        fontsize=SMALL,
        color=MUTED,
    )

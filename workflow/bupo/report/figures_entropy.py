"""Figures of the entropy analysis: entropy flow over the layers, change of each module, state norms."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bupo.report.records import Entropy
from bupo.report.style import INK, MUTED, PALETTE, Panel, finish, legend_below, new_figure, whole_numbers

LENSES = {"raw": ("raw (the paper's)", "c1", "o", "solid"), "final_norm": ("final norm", "c4", "s", "dashed")}
MODULES = {"attention": ("attention", "c2", "^", -0.09), "ffn": ("FFN", "c0", "o", 0.09)}


def rows(entropy: Entropy, quantity: str, policies: tuple[str, ...], lens: str) -> pd.DataFrame:
    """Statistics of one quantity by layer, bottom first."""
    table = entropy.table
    chosen = (table["quantity"] == quantity) & table["policy"].isin(policies) & (table["lens"] == lens)
    return table[chosen].sort_values("layer")


def entropy_flow(entropy: Entropy) -> Panel | None:
    """Entropy of every layer's policy, from the embedding (0) to the last layer, through each lens."""
    figure, axes = new_figure()
    shown = False
    for lens, (label, color, marker, dash) in LENSES.items():
        found = rows(entropy, "entropy", ("embedding", "layer"), lens)
        if found.empty:
            continue
        shown = True
        look: dict[str, Any] = {
            "color": PALETTE[color],
            "marker": marker,
            "linestyle": dash,
            "label": f"lens: {label}",
        }
        axes.plot(found["layer"], found["mean"], **look)
        axes.fill_between(
            found["layer"], found["low"], found["high"], color=PALETTE[color], alpha=0.2, linewidth=0
        )
    if not shown:
        return None
    axes.set_ylim(bottom=0)
    _boundary(axes, entropy)
    _finish_axes(axes, f"Entropy flow: {entropy.model}", "entropy, nats per token", first=0)
    axes.set_xlabel("layer (0 is the embedding)")
    legend_below(figure, axes)
    alt = f"Entropy of the layer policies of {entropy.model} over the layers, with intervals."
    return finish(figure, f"entropy-flow-{entropy.model}", alt)


def entropy_change(entropy: Entropy) -> Panel | None:
    """Entropy change of attention and FFN at each layer, with intervals, tolerance and boundary layer."""
    figure, axes = new_figure()
    shown = False
    for policy, (label, color, marker, offset) in MODULES.items():
        found = rows(entropy, "entropy_change", (policy,), entropy.lens)
        if found.empty:
            continue
        shown = True
        errors = [found["mean"] - found["low"], found["high"] - found["mean"]]
        axes.errorbar(
            found["layer"] + offset,
            found["mean"],
            yerr=None if found["low"].isna().any() else errors,
            color=PALETTE[color],
            marker=marker,
            linewidth=1.2,
            elinewidth=1.6,
            label=label,
        )
    if not shown:
        return None
    axes.axhspan(
        -entropy.tolerance, entropy.tolerance, color=MUTED, alpha=0.18, linewidth=0, label="tolerance"
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    _boundary(axes, entropy)
    lens = entropy.lens.replace("_", " ")
    _finish_axes(
        axes, f"Entropy change, {lens} lens: {entropy.model}", "entropy out minus in, nats per token", first=1
    )
    axes.set_xlabel("layer, counted from 1")
    legend_below(figure, axes, columns=3)
    alt = f"Entropy change of attention and FFN at each layer of {entropy.model}, with intervals."
    return finish(figure, f"entropy-change-{entropy.model}", alt)


def state_norms(entropy: Entropy) -> Panel | None:
    """Norm of the residual stream after every layer: raw-lens entropies depend on it."""
    figure, axes = new_figure()
    found = rows(entropy, "norm", ("embedding", "layer"), "raw")
    if found.empty:
        return None
    color = PALETTE["c3"]
    axes.plot(found["layer"], found["mean"], color=color, marker="D", label="residual stream")
    axes.fill_between(found["layer"], found["low"], found["high"], color=color, alpha=0.2, linewidth=0)
    axes.set_ylim(bottom=0)
    _finish_axes(axes, f"State norm: {entropy.model}", "Euclidean norm, mean over tokens", first=0)
    axes.set_xlabel("layer (0 is the embedding)")
    legend_below(figure, axes)
    alt = f"Norm of the residual stream of {entropy.model} after every layer, with intervals."
    return finish(figure, f"state-norm-{entropy.model}", alt)


def _boundary(axes: Axes, entropy: Entropy) -> None:
    axes.margins(y=0.15)
    if entropy.boundary_layer is None:
        text, where, align = "boundary: unclear", (1.0, 1.0), "right"
        axes.annotate(text, where, xycoords="axes fraction", va="top", ha=align, fontsize=8, color=MUTED)
        return
    axes.axvline(entropy.boundary_layer, color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    axes.annotate(
        f"boundary: layer {entropy.boundary_layer}",
        (entropy.boundary_layer, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=MUTED,
    )


def _finish_axes(axes: Axes, title: str, unit: str, first: int) -> None:
    axes.set_title(title)
    axes.set_ylabel(unit)
    whole_numbers(axes)
    axes.set_xlim(first - 0.4, axes.get_xlim()[1])

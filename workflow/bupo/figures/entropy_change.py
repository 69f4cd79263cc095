"""Entropy change of attention, FFN and layer, with the stages and the boundary layer they show."""

from collections.abc import Sequence

import pandas as pd

from bupo.figures.layer_axis import POLICIES, draw_line, finish_layers, mark_boundary, shade_stages
from bupo.figures.panel import Panel, finish
from bupo.figures.study import LENSES, Study, bands, sizes
from bupo.figures.style import INK, MUTED, SMALL, headline, label_bottom, legend_below, new_facets, new_figure

NAMES = {"attention": "attention", "ffn": "FFN", "layer": "layer"}
CHANGE = "entropy out minus in, nats per token"


def entropy_change(study: Study, lens: str) -> Panel | None:
    """The change at each layer; through the boundary's lens with tolerance, stages and boundary."""
    found = {policy: study.rows("entropy_change", (policy,), lens) for policy in NAMES}
    found = {policy: rows for policy, rows in found.items() if not rows.empty}
    if not found:
        return None
    figure, axes = new_figure(height=3.7)
    for policy, rows in found.items():
        draw_line(axes, rows, POLICIES[policy], NAMES[policy])
    axes.axhline(0, color=INK, linewidth=0.8)
    note = "A module's change is from its normed input to its output, a layer's from the layer below."
    if lens == study.lens:
        tolerance = study.boundary["tolerance"]
        axes.axhspan(-tolerance, tolerance, color=MUTED, alpha=0.35, linewidth=0, label="tolerance")
        shade_stages(axes, study)
        mark_boundary(axes, study)
        note += f" Shades are the stages of the FFN change at a tolerance of {tolerance:g} nats."
    name = lens.replace("_", " ")
    finish_layers(axes, study, f"Entropy change, {name} lens: {study.model}", CHANGE)
    legend_below(figure, axes, columns=4)
    return finish(
        figure,
        f"entropy-change-{lens}-{study.model}",
        f"Entropy change of attention, FFN and layer at each layer of {study.model}, {LENSES[lens]}.",
        study.caption(pd.concat(found.values()), note, lens=lens),
    )


def families(studies: Sequence[Study], lens: str) -> Panel | None:
    """The change of attention and FFN of several models beside each other, over relative depth, one scale."""
    shown = [study for study in studies if not study.rows("entropy_change", ("ffn",), lens).empty]
    if len(shown) < 2:
        return None
    figure, grid = new_facets(len(shown), 1.75, same_y=True)
    every = []
    for study, axes in zip(shown, grid, strict=True):
        for policy in ("attention", "ffn"):
            rows = study.rows("entropy_change", (policy,), lens)
            draw_line(
                axes,
                rows.assign(depth=rows["layer"] / study.layers),
                POLICIES[policy],
                NAMES[policy],
                "depth",
            )
            every.append(rows)
        axes.axhline(0, color=INK, linewidth=0.8)
        layer = study.boundary["boundary_layer"]
        if layer is not None and study.lens == lens:
            axes.axvline(
                layer / study.layers, color=INK, linewidth=1, linestyle=(0, (2, 2)), label="boundary layer"
            )
        axes.set_title(study.model, fontsize=8, pad=13)
        axes.annotate(
            f"L = {study.layers}; {sizes(rows)}",
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=7,
            color=MUTED,
        )
        axes.set_xlim(0, 1.02)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"], fontsize=SMALL)
    label_bottom(grid, "layer / L")
    figure.supylabel("change, nats per token", fontsize=9)
    headline(figure, f"Entropy change by model, {lens.replace('_', ' ')} lens")
    legend_below(figure, *grid, columns=3)
    levels = {study.boundary["level"] for study in shown}
    level = levels.pop() if len(levels) == 1 else None
    return finish(
        figure,
        f"entropy-families-{lens}",
        f"Entropy change of attention and FFN over relative depth, for each of {len(shown)} models.",
        f"Layers counted from 1, over the number of layers L; {LENSES[lens]}; one scale for all models; "
        f"{bands(pd.concat(every), level)}. No dashed line: the boundary is unclear.",
    )

"""Entropy flow: the entropy of every internal policy, layer by layer."""

import pandas as pd

from bupo.figures.layer_axis import POLICIES, draw_line, finish_layers, mark_boundary
from bupo.figures.panel import Panel, finish
from bupo.figures.study import LENSES, Study
from bupo.figures.style import INK, PALETTE, legend_below, new_figure

NATS = "entropy, nats per token"


def entropy_flow(study: Study, lens: str) -> Panel | None:
    """Input, attention output, FFN output and layer output at each layer, and the final policy."""
    output = study.rows("entropy", ("embedding", "layer"), lens)
    if output.empty:
        return None
    figure, axes = new_figure(height=3.7)
    below = output[output["layer"] < study.layers]
    axes.plot(
        below["layer"] + 1,
        below["mean"],
        color=PALETTE["base"],
        linestyle="dotted",
        linewidth=1.4,
        label="layer input",
    )
    shown = [output]
    for policy, name in (("attention", "attention output"), ("ffn", "FFN output")):
        found = study.rows("entropy", (policy,), lens)
        if not found.empty:
            draw_line(axes, found, POLICIES[policy], name)
            shown.append(found)
    draw_line(axes, output, POLICIES["layer"], "layer output")
    final = study.rows("entropy", ("final",), "final_norm")
    if not final.empty:
        axes.plot(
            final["layer"],
            final["mean"],
            linestyle="none",
            marker="*",
            markersize=10,
            color=INK,
            label="final policy",
            zorder=3,
            clip_on=False,
        )
    axes.set_ylim(bottom=0)
    if lens == study.lens:
        mark_boundary(axes, study)
    name = lens.replace("_", " ")
    finish_layers(axes, study, f"Entropy flow, {name} lens: {study.model}", NATS, embedding=True)
    legend_below(figure, axes, columns=3)
    return finish(
        figure,
        f"entropy-flow-{lens}-{study.model}",
        f"Entropy of the internal policies of {study.model} over its layers, {LENSES[lens]}.",
        study.caption(
            pd.concat(shown),
            "A layer's input is the output of the layer below; the final policy has the final norm.",
            lens=lens,
        ),
    )

"""Entropy by layer in parts of the responses: right and wrong ones, kinds of tokens, problem sets."""

from collections.abc import Mapping

import pandas as pd

from bupo.figures.entropy_flow import NATS
from bupo.figures.layer_axis import draw_line, finish_layers
from bupo.figures.panel import Panel, finish
from bupo.figures.study import ENOUGH, Study
from bupo.figures.style import PALETTE, Look, legend_below, looks, new_figure

ANSWERS = {"correct": Look(PALETTE["c1"], "o", "solid"), "wrong": Look(PALETTE["c0"], "s", "dashed")}
KINDS = dict(zip(("text", "thinking", "special"), looks(), strict=False))


def by_answer(study: Study, lens: str) -> Panel | None:
    """Right against wrong responses."""
    return _panel(study, lens, ANSWERS, "answer", "Right and wrong responses")


def by_kind(study: Study, lens: str) -> Panel | None:
    """Text, thinking and special tokens."""
    return _panel(study, lens, KINDS, "kind", "Kinds of tokens")


def by_set(study: Study, lens: str) -> Panel | None:
    """The problem sets, where several were analysed."""
    sets = [name for name in study.slices if name.startswith("set ")]
    return _panel(study, lens, dict(zip(sets, looks(), strict=False)), "set", "Problem sets")


def _panel(study: Study, lens: str, slices: Mapping[str, Look], name: str, title: str) -> Panel | None:
    found = {each: study.rows("entropy", ("embedding", "layer"), lens, each) for each in slices}
    found = {each: rows for each, rows in found.items() if rows["n_problems"].max() >= ENOUGH}
    if len(found) < 2:
        return None
    figure, axes = new_figure()
    for each, rows in found.items():
        tokens, problems = rows["n_tokens"].max(), rows["n_problems"].max()
        draw_line(
            axes, rows, slices[each], f"{each.removeprefix('set ')}: {tokens:,} tokens, {problems:,} problems"
        )
    axes.set_ylim(bottom=0)
    heading = f"{title}, {lens.replace('_', ' ')} lens: {study.model}"
    finish_layers(axes, study, heading, NATS, embedding=True)
    legend_below(figure, axes, columns=1 if len(found) > 2 else 2)
    return finish(
        figure,
        f"entropy-by-{name}-{lens}-{study.model}",
        f"Entropy of the layer policies of {study.model} over its layers: {', '.join(found)}.",
        study.caption(
            pd.concat(found.values()),
            f"Entropy of the layer policies; slices of fewer than {ENOUGH} problems are left out.",
            lens=lens,
        ),
    )

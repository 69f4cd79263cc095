"""Heat maps of entropy and entropy change over layers and the place in the response."""

import re

import numpy as np
import pandas as pd

from bupo.figures.entropy_change import CHANGE, NAMES
from bupo.figures.entropy_flow import NATS
from bupo.figures.heat_map import Scale, colour_bar, heat_map
from bupo.figures.hover import hover_fields
from bupo.figures.panel import Panel, finish
from bupo.figures.study import LENSES, Study
from bupo.figures.style import PALETTE, SMALL, empty_figure, headline

POSITION = re.compile(r"position (\d+)-(\d+)")


def positions(slices: list[str]) -> dict[str, str]:
    """The slices by place in the response, first tokens first, with a short name for each."""
    found = [(match, name) for name in slices if (match := POSITION.fullmatch(name))]
    found.sort(key=lambda pair: int(pair[0][1]))
    return {name: f"{match[1]}–{match[2]}" for match, name in found}


def entropy_by_position(study: Study, lens: str) -> Panel | None:
    """Entropy of the layer policies by layer and place in the response."""
    return _panel(study, "entropy", "layer", lens)


def change_by_position(study: Study, lens: str) -> Panel | None:
    """Entropy change of the FFN by layer and place in the response."""
    return _panel(study, "entropy_change", "ffn", lens)


def _panel(study: Study, quantity: str, policy: str, lens: str) -> Panel | None:
    labels = positions(study.slices)
    found = [study.rows(quantity, (policy,), lens, name) for name in labels]
    shown = pd.concat(found) if found else pd.DataFrame()
    if len(labels) < 2 or shown.empty:
        return None
    cells = shown.pivot(index="layer", columns="slice", values="mean")[list(labels)]
    tokens = shown.groupby("slice")["n_tokens"].first()[list(labels)]
    signed = quantity == "entropy_change"
    scale = Scale.of(shown["mean"], signed=signed)
    figure = empty_figure(4.2)
    top, main = figure.subplots(2, 1, sharex=True, height_ratios=(1, 7))
    top.bar(np.arange(len(labels)), tokens, width=0.9, color=PALETTE["base"])
    top.set_yticks([0, int(tokens.max())], ["0", f"{tokens.max():,}"], fontsize=SMALL)
    top.set_ylabel("tokens", fontsize=SMALL)
    top.tick_params(axis="x", length=0, labelbottom=False)
    top.grid(axis="x", visible=False)
    image = heat_map(main, cells, scale)
    places, sign = list(labels.values()), "+" if signed else ""
    hover_fields(
        image, lambda i, j, value: f"layer {cells.index[i]}, tokens {places[j]}: {value:{sign}.3f} nats"
    )
    colour_bar(figure, image, main, scale, CHANGE if signed else NATS)
    step = -(-len(labels) // 16)
    crowded = len(labels) * max(map(len, labels.values())) > 52
    main.set_xticks(
        np.arange(0, len(labels), step),
        list(labels.values())[::step],
        rotation=45 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor",
        fontsize=SMALL,
    )
    main.set_xlabel("place in the response, tokens counted from 1")
    main.set_ylabel("layer, counted from 1")
    what = f"{NAMES[policy]} entropy change" if signed else "Layer entropy"
    headline(figure, f"{what} by place, {lens.replace('_', ' ')} lens: {study.model}")
    problems = shown["n_problems"]
    return finish(
        figure,
        f"position-{policy}-{quantity.replace('_', '-')}-{lens}-{study.model}",
        f"{what} of {study.model} by layer and place in the response, {LENSES[lens]}.",
        f"{study.model}, {study.layers} layers counted from 1, {LENSES[lens]}; means of columns of "
        f"{tokens.min():,} to {tokens.max():,} tokens (bars) in responses to {problems.min():,} to "
        f"{problems.max():,} problems"
        + ("; colours end at the 98th percentile of the magnitudes." if scale.cut != "neither" else "."),
    )

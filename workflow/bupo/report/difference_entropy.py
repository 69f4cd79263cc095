"""The entropy analyses of two experiments beside each other: before training, and at the last snapshots."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bupo.figures.entropy_change import CHANGE
from bupo.figures.entropy_flow import NATS
from bupo.figures.layer_axis import draw_line, finish_layers, layer_ticks
from bupo.figures.panel import Panel, finish
from bupo.figures.study import LENSES, bands, counts
from bupo.figures.style import (
    INK,
    PALETTE,
    SMALL,
    Look,
    headline,
    label_bottom,
    legend_below,
    new_facets,
    new_figure,
)
from bupo.report.cells import Cell
from bupo.report.records import ALL, Entropy, Results
from bupo.report.table import Table, Value

OF_A, OF_B = Look(PALETTE["c0"], "s", "dotted"), Look(PALETTE["c1"], "o", "solid")
BEFORE = Look(PALETTE["base"], "^", "dashed")
MOST_PAIRS = 6
"""Pairs whose last snapshots are drawn: those that come first."""


@dataclass(frozen=True)
class AnalysedTwice:
    """One model's analysis in both experiments."""

    a: Entropy
    b: Entropy

    @property
    def same(self) -> bool:
        """Whether both measured the same, to the last digit: the same weights on the same responses."""
        return self.a.study.statistics.equals(self.b.study.statistics)


def analysed_twice(a: Results, b: Results) -> list[AnalysedTwice]:
    """The models that both experiments analysed before training, in A's order."""
    theirs = {entropy.model: entropy for entropy in b.entropy}
    return [AnalysedTwice(one, theirs[one.model]) for one in a.entropy if one.model in theirs]


def change_of_both(twice: AnalysedTwice, names: tuple[str, str]) -> Panel | None:
    """The FFN's entropy change at each layer, through the lens of B's boundary; None where it is the same."""
    lens = twice.b.lens
    lines = [one.study.rows("entropy_change", ("ffn",), lens) for one in (twice.a, twice.b)]
    if twice.same or any(rows.empty for rows in lines):
        return None
    figure, axes = new_figure()
    for rows, look, name in zip(lines, (OF_A, OF_B), names, strict=True):
        draw_line(axes, rows, look, name)
    axes.axhline(0, color=INK, linewidth=0.8)
    study = twice.b.study
    finish_layers(axes, study, f"FFN entropy change: {study.model}", CHANGE)
    legend_below(figure, axes)
    told = "; ".join(
        f"{name}: {_boundary(one)}, {counts(rows)}"
        for name, one, rows in zip(names, (twice.a, twice.b), lines, strict=True)
    )
    return finish(
        figure,
        f"entropy-change-both-{study.model}",
        f"Entropy change of the FFN at each layer of {study.model} in {names[0]} and in {names[1]}.",
        f"{study.model}, {study.layers} layers counted from 1, {LENSES[lens]}. {told}. "
        f"{bands(pd.concat(lines), twice.b.level)[0].upper()}{bands(pd.concat(lines), twice.b.level)[1:]}, "
        "of each by itself.",
    )


def last_snapshots(
    a: Results, b: Results, pairs: Sequence[tuple[Cell, Cell]], model: str, lens: str = "raw"
) -> Panel | None:
    """Entropy of the layer policies at the last snapshots of trained pairs, A's and B's in one field each.

    Args:
        a: the experiment that is compared with, and b: the other.
        pairs: cells of A and of B, all of the model.
        model: its name.
        lens: that the policies are read through.
    """
    each = [(pair, _last(a, b, pair, lens)) for pair in pairs]
    drawn = [(pair, lines) for pair, lines in each if not (lines[0].empty or lines[1].empty)][:MOST_PAIRS]
    if not drawn:
        return None
    figure, grid = new_facets(len(drawn), 2.0, same_y=True)
    names = a.experiment["name"], b.experiment["name"]
    every = []
    for axes, ((one, other), (theirs, ours, before)) in zip(grid, drawn, strict=True):
        if not before.empty:
            draw_line(axes, before, BEFORE, "before training", banded=False)
        for rows, look, name in ((theirs, OF_A, names[0]), (ours, OF_B, names[1])):
            draw_line(axes, rows, look, name)
            every.append(rows)
        steps = int(theirs["step"].iloc[0]), int(ours["step"].iloc[0])
        title = other.name if one.name == other.name else f"{one.name} → {other.name}"
        axes.set_title(f"{title}, step {' and '.join(map(str, dict.fromkeys(steps)))}", fontsize=SMALL)
        ticks = layer_ticks(1, int(ours["layer"].max()))
        axes.set_xticks(ticks, [str(tick) for tick in ticks], fontsize=SMALL)
    label_bottom(grid, "layer, counted from 1")
    figure.supylabel(NATS, fontsize=9)
    headline(figure, f"Layer entropy after training: {model}")
    legend_below(figure, *grid, columns=3)
    shown = pd.concat(every)
    more = f" The first {MOST_PAIRS} pairs." if len(drawn) < len(pairs) else ""
    return finish(
        figure,
        f"entropy-last-{lens}-{model}",
        f"Entropy of the layer policies of {model} at the last snapshots of {names[0]} and {names[1]}.",
        f"{model}, {LENSES[lens]}, the last snapshot of each cell's first seed on its own responses: "
        f"{counts(shown)}; {bands(shown, b.level)}, of each by itself.{more}",
    )


def boundaries_table(twice: Sequence[AnalysedTwice]) -> Table:
    """FFN entropy change and stage of every layer in both experiments."""
    columns = (
        *("model", "layer", "a_change", "a_low", "a_high", "a_stage", "a_boundary", "a_lens", "a_n_problems"),
        *("b_change", "b_low", "b_high", "b_stage", "b_boundary", "b_lens", "b_n_problems"),
    )
    rows: list[tuple[Value, ...]] = []
    for pair in twice:
        layers = {row.layer for entropy in (pair.a, pair.b) for row in entropy.evidence}
        rows += [(pair.b.model, k, *_layer(pair.a, k), *_layer(pair.b, k)) for k in sorted(layers)]
    return Table("boundaries", columns, rows)


def _layer(entropy: Entropy, layer: int) -> tuple[Value, ...]:
    """What an analysis says of a layer; nothing of one that its model does not have."""
    row = next((row for row in entropy.evidence if row.layer == layer), None)
    if row is None:
        return (None,) * 7
    change = row.change.value, row.change.low, row.change.high, row.stage
    return (*change, layer == entropy.boundary_layer, entropy.lens, entropy.n_problems)


def _boundary(entropy: Entropy) -> str:
    layer = entropy.boundary_layer
    return "boundary unclear" if layer is None else f"boundary layer {layer}"


def _last(a: Results, b: Results, pair: tuple[Cell, Cell], lens: str) -> list[pd.DataFrame]:
    """The layers' entropies at the last snapshot of A's and of B's cell, and of B's model before training."""
    found = [_layers(results, cell.first.name, lens) for results, cell in zip((a, b), pair, strict=True)]
    return [*found, _layers(b, f"{pair[1].model}/base/seed0", lens)]


def _layers(results: Results, run: str, lens: str) -> pd.DataFrame:
    flow = results.flow
    if flow is None:
        return pd.DataFrame()
    chosen = flow["run"].eq(run) & flow["quantity"].eq("entropy") & flow["policy"].eq("layer")
    rows = flow[chosen & flow["lens"].eq(lens) & flow["slice"].eq(ALL)]
    return rows[rows["step"] == rows["step"].max()].sort_values("layer")

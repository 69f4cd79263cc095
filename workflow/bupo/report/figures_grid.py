"""The map of layer k and iterative_steps: numbers everywhere, colours only where they are no noise."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.patches import Rectangle

from bupo.figures.hover import hover
from bupo.figures.panel import Panel, finish
from bupo.figures.study import LENSES
from bupo.figures.style import GRID, INK, MUTED, SMALL, headline, new_figure
from bupo.report.cells import MEAN
from bupo.report.grid import GridMap, Place
from bupo.report.words import in_words, points, span

DARK, LIGHT = "#101418", "#fefefe"
"""Ink on coloured fields, in dark mode too: no colours of the page."""
ORANGE, BLUE = "#cf5a02", "#016aa7"
"""Ends of the scale, close to the palette's and no variables of the page: their inks fit these alone."""
COLOURS = LinearSegmentedColormap.from_list("difference", [ORANGE, "#fbfbfb", BLUE])


def grid_map(grid: GridMap, level: float) -> Panel | None:
    """Differences in percentage points, a field for each layer and number of steps; None before the first."""
    told = [place.comparison for place in grid.places if place.comparison is not None]
    if not told:
        return None
    strong = [abs(p.comparison.difference.value) for p in grid.places if p.comparison and p.resolved]
    most = max(strong, default=0.0)
    columns, rows = len(grid.steps), len(grid.layers)
    figure, axes = new_figure(1.35 + 0.56 * rows, max(5.0, 1.2 + 0.85 * columns))
    for row, layer in enumerate(grid.layers):
        for column, steps in enumerate(grid.steps):
            place = grid.at(layer, steps)
            _field(axes, column, row, place, most)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-0.5, rows - 0.5)
    axes.set_xticks(range(columns), [str(steps) for steps in grid.steps])
    axes.set_yticks(range(rows), [str(layer) for layer in grid.layers])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("iterative_steps (trainer steps of phase 1)")
    axes.set_ylabel("layer k, counted from 1")
    where = "mean of benchmarks" if grid.benchmark == MEAN else grid.benchmark
    headline(figure, f"{grid.method} against {grid.against}: {grid.model}, {where}")
    problems = sorted({comparison.n_problems for comparison in told})
    n = f"{problems[0]:,}" if len(problems) == 1 else f"{problems[0]:,} to {problems[-1]:,}"
    lens = f" {LENSES[grid.lens][0].upper()}{LENSES[grid.lens][1:]}." if grid.lens in LENSES else ""
    colours = (
        f"Blue is above, orange below {grid.against}, up to {100 * most:.1f} points;"
        if strong
        else "No difference is resolved, so that no field has a colour;"
    )
    return finish(
        figure,
        _name(grid),
        f"Differences from {grid.against} for each layer and number of internal steps, {where}.",
        f"Trained on {grid.train_set}.{lens} Percentage points against {grid.against} with "
        f"{100 * level:g} % paired intervals over {n} problems. {colours} what an interval, Holm's "
        "correction or the seeds leave open stays without. A dash: no such cell, or not evaluated.",
    )


def _field(axes: Axes, column: int, row: int, place: Place | None, most: float) -> None:
    told = place.comparison if place else None
    fill, ink, weak = "none", INK, MUTED
    if place and told and place.resolved:
        color = COLOURS(0.5 + 0.5 * told.difference.value / most)
        fill = to_hex(color)
        ink = weak = DARK if 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 0.5 else LIGHT
    box = Rectangle((column - 0.48, row - 0.47), 0.96, 0.94, facecolor=fill, edgecolor=GRID, linewidth=0.8)
    axes.add_patch(box)
    centre: dict[str, Any] = {"ha": "center", "va": "center"}
    if place is None or told is None:
        axes.text(column, row, "–", color=MUTED, fontsize=9, **centre)
        return
    weight = "bold" if place.resolved else "normal"
    number = axes.text(
        column, row + 0.14, points(told.difference.value), color=ink, fontsize=10, fontweight=weight, **centre
    )
    bounds = axes.text(column, row - 0.22, span(told.difference), color=weak, fontsize=SMALL, **centre)
    k, steps = place.layer, place.iterative_steps
    for part in (box, number, bounds):
        hover(part, f"layer {k}, {steps} steps, {place.cell.label}: {in_words(told)}")


def _name(grid: GridMap) -> str:
    parts = ["grid", grid.method, grid.train_set or "", grid.model, grid.benchmark]
    rate = f"lr{grid.learning_rate:g}" if grid.learning_rate is not None else ""
    return "-".join(part for part in [*parts, rate] if part)

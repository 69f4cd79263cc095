"""The look of the figures: one colour per cell in all of them, and SVG that follows light and dark mode.

Colours are Okabe and Ito's, which people with any colour vision tell apart; markers and dashes repeat the
difference. A colour stands in the SVG as a value of its own; on the page each becomes a CSS variable.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID, PAPER = "#1c2128", "#59636e", "#d4d9df", "#fffffe"
PALETTE = {
    "base": "#6b7280",
    "c0": "#d55e00",
    "c1": "#0072b2",
    "c2": "#009e73",
    "c3": "#cc79a7",
    "c4": "#e69f00",
    "c5": "#56b4e9",
}
MARKERS = "osD^vPX"
DASHES = ("solid", "dashed", "dashdot", "dotted")
WIDTH, WIDE, HEIGHT = 5.0, 7.0, 3.5
SMALL = 7.5

matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "bupo",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.7,
        "lines.markersize": 4.5,
        "hatch.linewidth": 0.6,
        "figure.facecolor": "white",
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "axes.facecolor": "none",
        "savefig.facecolor": "white",
    }
)


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of a line, the same in every figure."""

    color: str
    marker: str
    dash: str


def looks() -> Iterator[Look]:
    """Looks without end, the first 168 of them distinct."""
    return itertools.cycle(
        Look(PALETTE[f"c{number % 6}"], MARKERS[number % 7], DASHES[(number + number // 42) % 4])
        for number in range(168)
    )


def cell_looks(cells: Sequence[str]) -> dict[str, Look]:
    """A look for each cell name, in order; ``base`` is grey and dashed."""
    fresh = looks()
    found = {}
    for name in dict.fromkeys(cells):
        found[name] = Look(PALETTE["base"], "o", "dashed") if name == "base" else next(fresh)
    return found


def new_figure(height: float = HEIGHT, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty figure of the page's size (inches) with one set of axes."""
    figure = empty_figure(height, width)
    return figure, figure.add_subplot()


def new_facets(
    count: int, height: float, *, columns: int | None = None, same_y: bool = False, top: float = 0.9
) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` small axes in rows, each row ``height`` inches high.

    Args:
        count: number of axes.
        height: inches of each row.
        columns: axes in a row; where left out two, or three over a whole page's width if there are many.
        same_y: whether all have one scale, labelled on the left.
        top: inches for title and legend.
    """
    many = columns is None and count > 6
    columns = min(columns or (3 if many else 2), count)
    rows = -(-count // columns)
    figure = empty_figure(top + height * rows, WIDE if many else WIDTH)
    grid = figure.subplots(rows, columns, sharey=same_y, squeeze=False).ravel().tolist()
    for spare in grid[count:]:
        spare.remove()
    return figure, grid[:count]


def label_bottom(axes: Sequence[Axes], text: str) -> None:
    """Name the horizontal axis under the lowest row of small axes."""
    for each in axes:
        place = each.get_subplotspec()
        if place is not None and place.is_last_row():
            each.set_xlabel(text, fontsize=8.5)


def headline(figure: Figure, text: str) -> None:
    """A title over several axes."""
    figure.suptitle(text, x=0.01, ha="left", color=INK)


def legend_below(figure: Figure, *axes: Axes, columns: int = 2) -> None:
    """A legend of all axes under them, where it hides nothing; a label is named once.

    The figure grows with the legend's rows beyond two.
    """
    named: dict[str, Artist] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        further = max(0, -(-len(named) // columns) - 2)
        figure.set_figheight(figure.get_figheight() + 0.19 * further)
        figure.legend(
            list(named.values()), list(named), loc="outside lower left", ncols=columns, columnspacing=1.2
        )


def whole_numbers(axes: Axes, most: int = 10) -> None:
    """Ticks of the horizontal axis at whole numbers: steps and layers have no halves."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=most))


def empty_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure without axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure

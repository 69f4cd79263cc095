"""The look of the figures: one colour per cell in all of them, and SVG that follows light and dark mode.

Colours are Okabe and Ito's, which people with any colour vision tell apart; markers and dashes repeat the
difference. Figures are drawn with placeholder colours; on the page each becomes a CSS variable.
"""

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, MUTED, GRID = "#1c2128", "#59636e", "#d4d9df"
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
WIDTH, HEIGHT = 5.0, 3.5

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
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
)


@dataclass(frozen=True)
class CellStyle:
    """Colour, marker and dash of a cell, the same in every figure."""

    color: str
    marker: str
    dash: str


def cell_styles(cells: Sequence[str]) -> dict[str, CellStyle]:
    """A style for each cell name, in order; ``base`` is grey and dashed."""
    looks = itertools.cycle(
        CellStyle(PALETTE[f"c{number % 6}"], MARKERS[number % 7], DASHES[number // 6 % 4])
        for number in range(168)
    )
    styles = {}
    for name in dict.fromkeys(cells):
        styles[name] = CellStyle(PALETTE["base"], "o", "dashed") if name == "base" else next(looks)
    return styles


@dataclass(frozen=True)
class Panel:
    """One drawn figure.

    Attributes:
        name: file name without its ending.
        alt: what it shows, for those who cannot see it.
        svg: the drawing with plain colours, for a file.
    """

    name: str
    alt: str
    svg: str

    def inline(self) -> str:
        """The drawing for the page: colours as variables, identifiers of its own, no fixed size."""
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
        text = text.replace("<svg", f'<svg role="img" aria-label="{_escaped(self.alt)}"', 1)
        for old, new in {INK: "ink", MUTED: "muted", GRID: "grid"}.items():
            text = text.replace(old, f"var(--{new})")
        for name, color in PALETTE.items():
            text = text.replace(color, f"var(--{name})")
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = text.replace("url(#", f"url(#{self.name}-").replace('href="#', f'href="#{self.name}-')
        return text


def new_figure(height: float = HEIGHT, width: float = WIDTH) -> tuple[Figure, Axes]:
    """An empty panel of the page's size (inches)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def finish(figure: Figure, name: str, alt: str) -> Panel:
    """Render a figure."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "bupo", "Title": alt})
    return Panel(re.sub(r"[^\w.-]", "_", name), alt, buffer.getvalue())


def legend_below(figure: Figure, axes: Axes, columns: int = 2) -> None:
    """A legend under the axes, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.2)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers: steps and layers have no halves."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

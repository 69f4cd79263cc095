"""A drawn figure with its caption: as files (SVG and PNG) and inline for a page."""

import io
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bupo.figures.hover import fields, mark, with_titles
from bupo.figures.style import GRID, INK, MUTED, PALETTE, PAPER, WIDTH
from bupo.files import atomic_path, write_text

DPI = 200
CAPTION_SIZE = 7.0  # points
LINE = CAPTION_SIZE * 1.3 / 72  # inches
MARGIN = 0.05  # inches around the caption


@dataclass(frozen=True)
class Panel:
    """One drawn figure.

    Attributes:
        name: file name without its ending.
        alt: what it shows, for those who cannot see it.
        caption: which model, lens and n; empty where the page says it.
        svg: the drawing for a file: on white, with its caption under it.
        png: the same as an image.
        foot: height of the caption in the SVG's units (points).
        width: of the drawing, in the same.
        fields: what the page's drawing has besides: the values of maps, under a pointer.
    """

    name: str
    alt: str
    caption: str
    svg: str
    png: bytes
    foot: float
    width: float
    fields: str = ""

    @property
    def wide(self) -> bool:
        """Whether it takes the width of a whole page."""
        return self.width > 72 * WIDTH

    def save(self, folder: Path) -> list[Path]:
        """Write ``<name>.svg`` and ``<name>.png`` to ``folder`` and say where."""
        write_text(folder / f"{self.name}.svg", self.svg)
        with atomic_path(folder / f"{self.name}.png") as path:
            path.write_bytes(self.png)
        return [folder / f"{self.name}.svg", folder / f"{self.name}.png"]

    def inline(self) -> str:
        """The drawing for the page, whose own text the caption is.

        Without caption and background, colours as variables, identifiers of its own, no fixed size.
        """
        text = self.svg[self.svg.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
        text = re.sub(r'<g id="(?:paper|caption)">.*?</g>', "", text, flags=re.S)
        text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
        text = re.sub(r'viewBox="0 0 (\S+) (\S+)"', self._cut, text, count=1)
        text = text.replace("<svg", f'<svg role="img" aria-label="{_escaped(self.alt)}"', 1)
        for old, new in {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"}.items():
            text = text.replace(old, f"var(--{new})")
        for name, color in PALETTE.items():
            text = text.replace(color, f"var(--{name})")
        text = text.replace("</svg>", f"{self.fields}</svg>")
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        return text.replace("url(#", f"url(#{self.name}-").replace('href="#', f'href="#{self.name}-')

    def _cut(self, box: re.Match[str]) -> str:
        return f'viewBox="0 0 {box[1]} {float(box[2]) - self.foot:g}"'


def finish(figure: Figure, name: str, alt: str, caption: str = "") -> Panel:
    """Lay a figure out, add its caption under it, and render it."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")
    foot = _add_caption(figure, caption) if caption else 0.0
    figure.patch.set_gid("paper")
    texts = mark(figure)
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None, "Creator": "bupo", "Title": alt})
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    return Panel(
        re.sub(r"[^\w.-]", "_", name),
        alt,
        caption,
        with_titles(svg.getvalue(), texts),
        png.getvalue(),
        foot=72 * foot,
        width=72 * float(figure.get_figwidth()),
        fields=fields(figure),
    )


def _add_caption(figure: Figure, caption: str) -> float:
    """Make the figure higher for the caption and keep all else as it is; how much higher, in inches."""
    width, height = figure.get_size_inches()
    lines = _wrapped(caption, 72 * (width - 2 * MARGIN))
    foot = LINE * len(lines) + 2 * MARGIN
    share = foot / (height + foot)
    figure.set_size_inches(width, height + foot)
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, share + (1 - share) * box.y0, box.width, (1 - share) * box.height))
    for text in figure.texts:
        text.set_y(share + (1 - share) * text.get_position()[1])
    for legend in figure.legends:
        legend.set_bbox_to_anchor((0, share, 1, 1 - share), transform=figure.transFigure)
    figure.text(
        MARGIN / width,
        share - MARGIN / (height + foot),
        "\n".join(lines),
        va="top",
        fontsize=CAPTION_SIZE,
        linespacing=1.3 / 1.2,
        gid="caption",
    )
    return foot


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of at most ``width`` points."""
    lines: list[str] = []
    used = width
    for word in text.split():
        used += _width(" ") + _width(word)
        if used > width:
            lines.append(word)
            used = _width(word)
        else:
            lines[-1] += f" {word}"
    return lines


@lru_cache(maxsize=4096)
def _width(text: str) -> float:
    size: tuple[float, float, float] = TextToPath().get_text_width_height_descent(
        text, FontProperties(size=CAPTION_SIZE), ismath=False
    )
    return size[0]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

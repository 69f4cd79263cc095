"""Values that a pointer over a drawn point or a field of a map shows: SVG's own titles, which need no script.

They repeat what tables say for everyone; a figure is read aloud by its own text alone.
"""

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

_TEXTS: "WeakKeyDictionary[Artist, str | Sequence[str]]" = WeakKeyDictionary()
_FIELDS: "WeakKeyDictionary[AxesImage, Callable[[int, int, float], str]]" = WeakKeyDictionary()
Floats = np.ndarray[Any, np.dtype[np.float64]]

_POINT = re.compile(r"<use ([^>]*?)/>")
MOST_FIELDS = 600
"""Fields of a figure's maps up to which each has its value: about 100 bytes of the page each."""


def hover(artist: Artist, texts: str | Sequence[str]) -> None:
    """Show ``texts`` over an artist: one for all of it, or one for each marker of a line."""
    _TEXTS[artist] = texts


def hover_fields(image: AxesImage, text: Callable[[int, int, float], str]) -> None:
    """Show ``text`` of its row, column and value over each field of a map that is drawn as an image."""
    _FIELDS[image] = text


def fields(figure: Figure) -> str:
    """Invisible SVG rectangles with the texts of `hover_fields`; none where they are too many for a page.

    An image is one element, so that the fields in it have no titles of their own. They are laid over it, in
    the units of the figure's SVG, which are points.
    """
    images = [each for each in figure.findobj() if isinstance(each, AxesImage) and each in _FIELDS]
    maps = [_values(image) for image in images]
    if sum(values.size for values in maps) > MOST_FIELDS:
        return ""
    return "".join(_over(image, values, figure) for image, values in zip(images, maps, strict=True))


def _values(image: AxesImage) -> Floats:
    """What it shows, by row and column; not a number in gaps."""
    found: Floats = np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)
    return found


def _over(image: AxesImage, values: Floats, figure: Figure) -> str:
    left, right, bottom, top = image.get_extent()
    assert image.axes is not None
    corners = image.axes.transData.transform([(left, top), (right, bottom)]) * 72 / figure.dpi
    (x, high), (end, low) = corners  # points from the lower left corner; SVG counts down from the upper one
    rows, columns = values.shape
    place = f"translate({x:.2f} {72 * figure.get_figheight() - high:.2f})"
    size = f"scale({(end - x) / columns:.4f} {(high - low) / rows:.4f})"
    each = (
        f'<rect x="{column}" y="{rows - 1 - row}" width="1" height="1">'
        f"<title>{escape(_FIELDS[image](row, column, float(value)))}</title></rect>"
        for (row, column), value in np.ndenumerate(values)
        if np.isfinite(value)
    )
    return f'<g opacity="0" transform="{place} {size}">{"".join(each)}</g>'


def mark(figure: Figure) -> dict[str, str | Sequence[str]]:
    """Give the artists with texts identifiers that the SVG will have; the texts by identifier."""
    found = {}
    for number, artist in enumerate(a for a in figure.findobj() if a in _TEXTS):
        artist.set_gid(f"hover-{number}")
        found[f"hover-{number}"] = _TEXTS[artist]
    return found


def with_titles(svg: str, texts: dict[str, str | Sequence[str]]) -> str:
    """The SVG with the texts of `mark` as titles."""
    for name, text in texts.items():
        start = svg.index(f'<g id="{name}">')
        end = svg.index("</g>", start)
        group = svg[start:end]
        if isinstance(text, str):
            group = group.replace(">", f"><title>{escape(text)}</title>", 1)
        elif len(_POINT.findall(group)) == len(text):  # a marker beyond the axes is not drawn
            each = iter(text)
            group = _POINT.sub(lambda use: f"<use {use[1]}><title>{escape(next(each))}</title></use>", group)  # noqa: B023
        svg = svg[:start] + group + svg[end:]
    return svg

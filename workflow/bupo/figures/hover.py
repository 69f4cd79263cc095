"""Values that a pointer over a drawn point shows: SVG's own titles, which need no script.

They repeat what tables say for everyone; a figure is read aloud by its own text alone.
"""

import re
from collections.abc import Sequence
from html import escape
from weakref import WeakKeyDictionary

from matplotlib.artist import Artist
from matplotlib.figure import Figure

_TEXTS: "WeakKeyDictionary[Artist, str | Sequence[str]]" = WeakKeyDictionary()
_POINT = re.compile(r"<use ([^>]*?)/>")


def hover(artist: Artist, texts: str | Sequence[str]) -> None:
    """Show ``texts`` over an artist: one for all of it, or one for each marker of a line."""
    _TEXTS[artist] = texts


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

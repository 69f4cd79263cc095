import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bupo.figures.heat_map import Scale, colour_bar, heat_map
from bupo.figures.hover import MOST_FIELDS, hover, hover_fields
from bupo.figures.panel import finish
from bupo.figures.style import new_figure


def drawn(points, texts):
    figure, axes = new_figure()
    (line,) = axes.plot(range(points), [1.0] * points, marker="o")
    hover(line, texts)
    axes.set_xlim(-1, 3)
    return finish(figure, "x", "x").svg


def test_each_point_has_its_value_escaped():
    svg = drawn(2, ["a < b", "c & d"])
    assert "<title>a &lt; b</title></use>" in svg and "<title>c &amp; d</title></use>" in svg
    assert svg.index("a &lt; b") < svg.index("c &amp; d")


def test_an_artist_can_have_one_text():
    svg = drawn(2, "all of it")
    assert svg.count("<title>all of it</title>") == 1


@pytest.mark.parametrize("points", [9])
def test_points_beyond_the_axes_make_no_wrong_values(points):
    """Matplotlib draws no marker beyond the canvas: the others would have their neighbours' values."""
    figure, axes = new_figure()
    (line,) = axes.plot(range(points), [1.0] * points, marker="o")
    hover(line, [str(i) for i in range(points)])
    axes.set_xlim(6.9, 7.1)
    svg = finish(figure, "x", "x").svg
    assert "<title>" not in svg.split("</metadata>")[1]


def map_of(rows, columns, gap=None):
    """A map beside a bar of colours, the field of row 1 and column 2 at a place of its own."""
    values = pd.DataFrame(np.arange(rows * columns, dtype=float).reshape(rows, columns), range(1, rows + 1))
    if gap:
        values.iloc[gap] = np.nan
    figure, axes = new_figure()
    scale = Scale.of(values.stack(), signed=False)
    image = heat_map(axes, values, scale)
    colour_bar(figure, image, axes, scale, "unit")
    hover_fields(image, lambda row, column, value: f"layer {row + 1} < {column}: {value:g}")
    return finish(figure, "x", "x", "A caption under it.")


def test_the_fields_of_a_map_have_their_values_on_the_page_only():
    panel = map_of(3, 4, gap=(1, 2))
    inline = ElementTree.fromstring(panel.inline().replace("xlink:href", "href"))
    overlay = inline[-1]
    assert overlay.get("opacity") == "0", "they are there for the pointer, and seen by nobody"
    told = {(int(r.get("x")), int(r.get("y"))): r[0].text for r in overlay}
    assert told[0, 2] == "layer 1 < 0: 0" and told[3, 0] == "layer 3 < 3: 11", "the first layer is the lowest"
    assert len(told) == 11 and (2, 1) not in told, "a gap has no value"
    assert "layer 1" not in panel.svg


def test_the_fields_lie_over_the_map():
    panel = map_of(3, 4)
    place = re.search(r'translate\((\S+) (\S+)\) scale\((\S+) (\S+)\)">', panel.fields)
    x, y, width, height = map(float, place.groups())
    # Of map and bar the map is wider than high. It is drawn upside down, from its lower edge.
    images = [each for each in ElementTree.fromstring(panel.svg).iter() if each.tag.endswith("image")]
    image = max(images, key=lambda each: float(each.get("width")))
    turned = float(re.fullmatch(r"scale\(1 -1\) translate\(0 -?(\S+)\)", image.get("transform"))[1])
    at, down, wide, high = (float(image.get(name)) for name in ("x", "y", "width", "height"))
    expected = (at, turned - down - high, wide, high)
    assert (x, y, 4 * width, 3 * height) == pytest.approx(expected, abs=1)


def test_very_many_fields_have_no_values():
    assert map_of(20, MOST_FIELDS // 20).fields.count("<title>") == MOST_FIELDS
    assert map_of(20, MOST_FIELDS // 20 + 1).fields == ""

"""How figures become files and parts of a page."""

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bupo.figures.layer_axis import layer_ticks
from bupo.figures.panel import DPI, finish
from bupo.figures.style import PALETTE, cell_looks, legend_below, new_facets, new_figure

CAPTION = "A model of six layers counted from 1, raw lens; 1,234 tokens in responses to 48 problems. " * 3


def panel(caption: str = CAPTION):
    figure, axes = new_figure()
    axes.plot([1, 2, 3], [1, 4, 9], color=PALETTE["c0"], label="a <line>")
    axes.set_title("Title")
    legend_below(figure, axes)
    return finish(figure, "a/name with spaces", 'it shows "a" & b', caption)


def test_the_caption_is_in_the_file_on_white_and_not_inline():
    drawn = panel()
    texts = " ".join(ElementTree.fromstring(drawn.svg).itertext())
    assert " ".join(CAPTION.split()) in " ".join(texts.split())
    corner = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("RGB"))[0, 0]
    assert corner.tolist() == [255, 255, 255] and "#ffffff" in drawn.svg
    inline = drawn.inline()
    assert "responses to" not in inline and "#ffffff" not in inline and "Title" in inline
    heights = [float(re.search(r'viewBox="0 0 \S+ (\S+)"', svg)[1]) for svg in (drawn.svg, inline)]
    assert heights[0] - heights[1] == drawn.foot > 20


def test_a_caption_moves_nothing_else():
    places = []
    for drawn in (panel(), panel("")):
        found = re.findall(r' (?:d|x|y|transform)="([^"]*)"', drawn.inline())
        places.append([float(number) for text in found for number in re.findall(r"-?\d+\.?\d*", text)])
    assert drawn.foot == 0 and len(places[0]) > 100
    assert places[0] == pytest.approx(places[1], abs=1e-4)


def test_the_image_is_for_print():
    drawn = panel()
    width, height = Image.open(io.BytesIO(drawn.png)).size
    assert width == 5 * DPI and DPI >= 200
    assert abs(height / DPI - float(re.search(r'viewBox="0 0 \S+ (\S+)"', drawn.svg)[1]) / 72) < 0.02


def test_inline_follows_the_page():
    inline = panel().inline()
    ElementTree.fromstring(inline.replace("xlink:href", "href"))
    assert "var(--c0)" in inline and PALETTE["c0"] not in inline
    assert inline.startswith('<svg role="img" aria-label="it shows &quot;a&quot; &amp; b"')
    assert not re.search(r'<svg[^>]* (width|height)="', inline)
    assert all(name.startswith("a_name_with_spaces-") for name in re.findall(r'\bid="([^"]*)"', inline))


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first, second = panel(), panel()
    assert (first.svg, first.png) == (second.svg, second.png)
    svg, png = first.save(tmp_path / "figures")
    assert (svg.name, png.name) == ("a_name_with_spaces.svg", "a_name_with_spaces.png")
    assert svg.read_text() == first.svg and png.read_bytes() == first.png


def test_a_legend_names_each_label_once_and_makes_its_own_room():
    figure, axes = new_facets(2, 1.5)
    height = figure.get_figheight()
    for each in axes:
        for number in range(9):
            each.plot([0, 1], label=f"cell {number}")
    legend_below(figure, *axes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"cell {n}" for n in range(9)]
    assert figure.get_figheight() > height


@given(st.integers(1, 200), st.sampled_from([0, 1]), st.integers(5, 12))
def test_ticks_name_both_ends_and_do_not_crowd(last, first, most):
    ticks = layer_ticks(first, last, most)
    assert ticks[-1] == last and (ticks[0] == first or last == first)
    assert ticks == sorted(ticks) and len(ticks) <= most + 1
    gaps = np.diff(ticks)
    assert last <= most or gaps.min() >= 0.5 * np.median(gaps)


@given(st.lists(st.text("abcdef", min_size=1), unique=True, max_size=160))
def test_looks_are_told_apart(names):
    found = cell_looks(["base", *names])
    assert len({(look.color, look.marker, look.dash) for look in found.values()}) == len(found)
    assert found["base"].color == PALETTE["base"]

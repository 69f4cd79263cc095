import pytest

from bupo.figures.hover import hover
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

import pytest

from bupo.figures.style import cell_looks
from bupo.report.cells import Cell
from bupo.report.figures_training import CROWDED, CURVES, training_curve
from bupo.report.records import Run


def curve(switches):
    """The reward of one cell for each list of switches."""
    points = {"critic/score/mean": [(step, step / 10) for step in range(1, 9)]}
    cells = [
        Cell("m", f"cell{i}", [Run("m", f"cell{i}", 1, "bupo", metrics=points, switches=ends)])
        for i, ends in enumerate(switches)
    ]
    return training_curve(cells, cell_looks([cell.name for cell in cells]), "m", CURVES[0])


@pytest.mark.parametrize(
    ("switches", "label"),
    [([[4], []], "policy switch after step 4"), ([[4], [2, 4]], "policy switch after step 2 and 4")],
)
def test_all_switches_have_one_label(switches, label):
    assert curve(switches).svg.count("policy switch") == curve(switches).svg.count(f">{label}<") == 1


def test_a_share_that_is_always_nothing_has_a_scale_without_negative_shares():
    flat = {"bupo/truncated": [(step, 0.0) for step in range(1, 9)]}
    cells = [Cell("m", "cell", [Run("m", "cell", 1, "grpo", metrics=flat)])]
    shares = next(curve for curve in CURVES if curve.name == "truncated")
    svg = training_curve(cells, cell_looks(["cell"]), "m", shares).svg
    assert ">1.0<" in svg and ">\N{MINUS SIGN}0.0" not in svg


def test_without_a_switch_there_is_none():
    assert "policy switch" not in curve([[]]).svg


def test_many_cells_get_the_whole_width_and_each_its_line_in_the_legend():
    few, many = curve([[]] * CROWDED), curve([[]] * 12)
    assert (few.wide, many.wide) == (False, True)
    assert all(f">cell{i}<" in many.svg for i in range(12))

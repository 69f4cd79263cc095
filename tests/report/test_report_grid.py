"""The map of layer and iterative_steps: where an experiment has one, and what of it has a colour."""

import csv
import re

import pytest
from results_tree import Scenario, make_tree

from bupo.report.analysis import analyse
from bupo.report.cells import MEAN
from bupo.report.collect import collect
from bupo.report.compare import ABOVE, BELOW
from bupo.report.figures_grid import BLUE, grid_map
from bupo.report.grid import grid_table

SKILL = {
    "base": 0.0,
    "grpo": 0.5,
    "bupo-kauto-s4": 0.5,
    "bupo-k3-s4": 0.55,
    "bupo-k3-s8": 1.3,
    "bupo-k5-s4": -0.3,
}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    scenario = Scenario(skill=SKILL, snapshots=None)
    return analyse(collect(make_tree(tmp_path_factory.mktemp("grid"), scenario)))


def test_a_map_has_both_axes_and_what_auto_became(analysis):
    (grid,) = analysis.main_grids
    assert (grid.layers, grid.steps, grid.benchmark, grid.against) == ([3, 5], [4, 8], MEAN, "grpo")
    assert grid.lens == "raw"
    assert grid.at(3, 4).cell.name == "bupo-k3-s4", "of two in one place the one that names its layer"
    assert [p.cell.name for p in grid.places if (p.layer, p.iterative_steps) == (3, 4)][1] == "bupo-kauto-s4"
    assert grid.at(5, 8) is None
    assert [g.benchmark for g in analysis.grids] == [MEAN, "arithmetic_easy", "arithmetic_hard"]


def test_only_what_is_resolved_has_a_colour_and_is_bold(analysis):
    (grid,) = analysis.main_grids
    verdicts = {p.cell.name: p.comparison.verdict for p in grid.places}
    assert verdicts["bupo-k3-s8"] == ABOVE and verdicts["bupo-k5-s4"] == BELOW
    assert verdicts["bupo-k3-s4"] not in (ABOVE, BELOW)
    svg = grid_map(grid, 0.95).svg
    fields = re.findall(
        r'<g id="hover-\d+"><title>layer (\d), (\d) steps.*?</title>\s*<path [^>]*style="fill: (\S+?)[;"]',
        svg,
    )
    colours = {(k, steps): fill for k, steps, fill in fields}
    assert colours["3", "8"] == BLUE and colours["3", "4"] == "none"
    red, blue = (int(colours["5", "4"][at : at + 2], 16) for at in (1, 5))
    assert red > blue, "orange is below"
    bold = re.findall(r'<text style="font-weight: 700[^>]*>([+−][\d.]+)</text>', svg)
    assert len(bold) == 2 and len(set(re.findall(r">([+−][\d.]+)</text>", svg))) == 3
    assert svg.count("corrected: above</title>") == 3, "field, number and interval of one place"


def test_without_a_resolved_difference_nothing_has_a_colour(tmp_path):
    skill = {"base": 0.0, "grpo": 0.5} | {f"bupo-k{k}-s{s}": 0.5 for k in (2, 3) for s in (4, 8)}
    found = analyse(
        collect(make_tree(tmp_path, Scenario(skill=skill, snapshots=None, problems=20, samples=4)))
    )
    (grid,) = found.main_grids
    assert not any(place.resolved for place in grid.places)
    panel = grid_map(grid, 0.95)
    assert "no field has a colour" in panel.caption
    assert not re.search(r"fill: #(?!fff|1c2128|59636e|d4d9df)", panel.svg)


def test_the_table_has_every_place_with_n_and_interval(analysis):
    table = grid_table(analysis.grids)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 4 * 3
    row = next(r for r in rows if (r["cell"], r["benchmark"]) == ("bupo-k3-s8", MEAN))
    assert (row["layer"], row["iterative_steps"], row["n_problems"], row["n_samples"]) == (3, 8, 200, 8)
    assert row["low"] < row["difference"] < row["high"] and row["avg_low"] < row["avg_at_n"] < row["avg_high"]


def test_one_axis_makes_no_map(demo):
    html = (demo / "report/index.html").read_text()
    assert 'id="grid"' not in html and "#grid" not in html
    assert not (demo / "report/tables/grid.csv").exists()
    assert list(csv.reader((demo / "report/tables/scores.csv").open()))

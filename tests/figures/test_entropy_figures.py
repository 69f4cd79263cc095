"""The figures of one model's entropy analysis show what its tables hold."""

import io
import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from entropy_tables import POSITIONS, Tables
from matplotlib.colors import to_hex
from PIL import Image

from bupo.figures.entropy import main_panels, more_panels, write_figures
from bupo.figures.entropy_change import entropy_change, families
from bupo.figures.entropy_flow import entropy_flow
from bupo.figures.entropy_positions import change_by_position, entropy_by_position
from bupo.figures.entropy_relations import cosine_to_later, kl_to_later, state_norms
from bupo.figures.entropy_slices import by_answer, by_kind, by_set
from bupo.figures.layer_axis import STAGES


def means(study, quantity, policy, lens="raw", slice_="all"):
    rows = study.rows(quantity, policy if isinstance(policy, tuple) else (policy,), lens, slice_)
    return list(zip(rows["layer"], rows["mean"], strict=True))


@pytest.mark.parametrize("lens", ["raw", "final_norm"])
def test_the_flow_shows_every_policy(small, drawn, line, lens):
    (axes,) = drawn(entropy_flow, small, lens).axes
    output = means(small, "entropy", ("embedding", "layer"), lens)
    assert line(axes, "layer output") == output and output[0][0] == 0
    assert line(axes, "attention output") == means(small, "entropy", "attention", lens)
    assert line(axes, "FFN output") == means(small, "entropy", "ffn", lens)
    assert line(axes, "layer input") == [(layer + 1, mean) for layer, mean in output[:-1]]
    assert line(axes, "final policy") == means(small, "entropy", "final", "final_norm")


def test_changes_have_bands_tolerance_stages_and_boundary(small, drawn, line):
    figure = drawn(entropy_change, small, "raw")
    (axes,) = figure.axes
    for policy, label in (("attention", "attention"), ("ffn", "FFN"), ("layer", "layer")):
        assert line(axes, label) == means(small, "entropy_change", policy)
    band = axes.collections[1].get_paths()[0].get_extents()
    rows = small.rows("entropy_change", ("ffn",), "raw")
    assert (band.y0, band.y1) == pytest.approx((rows["low"].min(), rows["high"].max()))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["attention", "FFN", "layer", "tolerance", "exploration", "integration", "convergence"]
    assert "boundary: layer 3" in [text.get_text() for text in axes.texts]
    shaded = {
        layer: to_hex(patch.get_facecolor())
        for patch in axes.patches
        if patch.get_label() != "tolerance"
        for layer in range(1, 7)
        if patch.get_x() < layer < patch.get_x() + patch.get_width()
    }
    assert shaded == {row["layer"]: to_hex(STAGES[row["stage"]][0]) for row in small.boundary["evidence"]}


def test_the_other_lens_has_neither_stages_nor_boundary(small, drawn):
    (axes,) = drawn(entropy_change, small, "final_norm").axes
    assert not axes.patches and not axes.texts


def test_one_problem_is_drawn_without_bands_and_told(drawn):
    study = Tables("one", 6, 3, problems=1, lenses=("raw",)).study
    (axes,) = drawn(entropy_change, study, "raw").axes
    assert {patch.get_hatch() for patch in axes.patches if patch.get_label() == "undecided"} == {"////"}
    assert "boundary: unclear" in [text.get_text() for text in axes.texts]
    caption = main_panels(study)[0].caption
    assert "16 tokens in responses to 1 problem; no intervals, which take two problems or more." in caption


def test_models_stand_on_one_scale_over_relative_depth(small, deep, drawn, line):
    grid = drawn(families, [small, deep], "raw").axes
    assert len({axes.get_ylim() for axes in grid}) == 1
    for axes, study in zip(grid, (small, deep), strict=True):
        expected = [(layer / study.layers, mean) for layer, mean in means(study, "entropy_change", "ffn")]
        assert line(axes, "FFN") == expected
        assert line(axes, "boundary layer")[0][0] == study.boundary["boundary_layer"] / study.layers
    assert drawn(families, [small], "raw") is None


def test_many_models_take_the_width_of_a_page(small):
    assert families([small] * 7, "raw").wide and not families([small] * 6, "raw").wide


@pytest.mark.parametrize(
    ("function", "quantity", "policy", "form"),
    [(entropy_by_position, "entropy", "layer", ".3f"), (change_by_position, "entropy_change", "ffn", "+.3f")],
)
def test_every_field_of_the_heat_map_has_its_value_under_the_pointer(deep, function, quantity, policy, form):
    fields = function(deep, "raw").fields
    for place in POSITIONS:
        for layer, mean in means(deep, quantity, policy, slice_=f"position {place}"):
            name = f"layer {layer:g}, tokens {place.replace('-', '–')}"
            assert f"<title>{name}: {mean:{form}} nats</title>" in fields
    assert fields.count("<rect") == 36 * len(POSITIONS)


@pytest.mark.parametrize(
    ("function", "quantity", "policy"),
    [(entropy_by_position, "entropy", "layer"), (change_by_position, "entropy_change", "ffn")],
)
def test_the_heat_map_has_a_cell_for_each_layer_and_place(deep, drawn, function, quantity, policy):
    top, main, bar = drawn(function, deep, "raw").axes
    image = main.images[0]
    cells = np.asarray(image.get_array())
    assert cells.shape == (36, len(POSITIONS)) and image.origin == "lower"
    for column, place in enumerate(POSITIONS):
        expected = [mean for _, mean in means(deep, quantity, policy, slice_=f"position {place}")]
        assert cells[:, column].tolist() == expected
    tokens = [deep.rows(quantity, (policy,), "raw", f"position {p}")["n_tokens"].iloc[0] for p in POSITIONS]
    assert [patch.get_height() for patch in top.patches] == tokens
    assert [label.get_text() for label in main.get_xticklabels()] == [p.replace("-", "–") for p in POSITIONS]
    assert "nats" in bar.get_ylabel()
    low, high = image.get_clim()
    if quantity == "entropy_change":
        assert low == -high and high <= np.abs(cells).max()
    else:
        assert (low, high) == (cells.min(), cells.max())


def test_slices_of_few_problems_are_not_set_beside_others(drawn, line):
    few, enough = (Tables("m", 6, 3, problems=n).study for n in (5, 40))
    assert drawn(by_answer, few, "raw") is None
    (axes,) = drawn(by_answer, enough, "raw").axes
    for name in ("correct", "wrong"):
        rows = enough.rows("entropy", ("embedding", "layer"), "raw", name)
        label = f"{name}: {rows['n_tokens'].iloc[0]:,} tokens, {rows['n_problems'].iloc[0]:,} problems"
        assert line(axes, label) == list(zip(rows["layer"], rows["mean"], strict=True))
    assert drawn(by_kind, enough, "raw") is not None
    assert drawn(by_set, enough, "raw") is None


def test_problem_sets_are_told_apart(drawn):
    study = Tables("m", 6, 3, problems=400, slices=("all", "set AIME24", "set MATH500")).study
    (axes,) = drawn(by_set, study, "raw").axes
    assert [each.get_label().split(":")[0] for each in axes.get_lines()] == ["AIME24", "MATH500"]


def test_anchors_start_at_the_layer_above(small, drawn, line):
    for figure in (drawn(cosine_to_later, small), drawn(kl_to_later, small, "raw")):
        assert [layer for layer, _ in line(figure.axes[0], "k = 2")] == [3, 4, 5, 6]
        assert [layer for layer, _ in line(figure.axes[0], "k = 5")] == [6]


def test_norms_of_very_different_size_are_on_a_log_axis(small, deep, drawn):
    assert drawn(state_norms, small).axes[0].get_yscale() == "linear"
    assert drawn(state_norms, deep).axes[0].get_yscale() == "log"


@pytest.mark.parametrize("layers", [1, 6, 36, 80])
def test_ticks_and_texts_do_not_overlap(layers, drawn):
    study = Tables("m", layers, 1 if layers > 1 else None).study
    for function, arguments in ((entropy_flow, ("raw",)), (entropy_change, ("raw",)), (state_norms, ())):
        figure = drawn(function, study, *arguments)
        figure.draw_without_rendering()
        for axes in figure.axes:
            for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
                boxes = [label.get_window_extent() for label in labels if label.get_text()]
                assert not any(a.overlaps(b) for a, b in pairwise(boxes))
            below = axes.xaxis.label.get_window_extent()
            assert not figure.legends[0].get_window_extent().overlaps(below)


def test_every_figure_is_written_with_its_caption(deep, tmp_path):
    files = write_figures(deep.statistics, deep.boundary, tmp_path / "figures")
    panels = [*main_panels(deep), *more_panels(deep)]
    assert {path.name for path in files} == {f"{p.name}.{kind}" for p in panels for kind in ("svg", "png")}
    assert sorted(files) == sorted((tmp_path / "figures").iterdir())
    for panel in panels:
        assert "deep, 36 layers counted from 1" in panel.caption and "tokens" in panel.caption
        lens = re.search(r"(raw|final_norm)-deep$", panel.name)
        assert not lens or {"raw": "raw lens (no", "final_norm": "the final norm"}[lens[1]] in panel.caption
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", panel.svg)]
        assert min(sizes) >= 7
        assert "nan" not in panel.svg.lower().replace("final", "")
        width, _ = Image.open(io.BytesIO(panel.png)).size
        assert 3.3 <= width / 200 <= 7
        written = (tmp_path / "figures" / f"{panel.name}.svg").read_bytes()
        assert written == panel.svg.encode(), "drawn again it is the same"


def test_a_table_of_one_lens_without_slices_or_anchors_is_enough(tmp_path):
    tables = Tables("bare", 6, 3, lenses=("final_norm",), anchors=(), slices=("all",))
    names = {path.stem for path in write_figures(tables.statistics, tables.boundary, tmp_path)}
    assert "entropy-flow-final_norm-bare" in names and "entropy-flow-raw-bare" not in names
    assert not [name for name in names if "later" in name or "position" in name or "-by-" in name]
    assert pd.isna(tables.statistics["anchor"]).all()

"""The figures of pass@k and of the training show every cell, and what their captions say."""

import dataclasses

import numpy as np
import pytest
from results_in_memory import SIZES, both, results

from bupo.figures.style import cell_looks
from bupo.report.cells import Cell, cells_of
from bupo.report.figures_scores import pass_at_k
from bupo.report.figures_training import CURVES, series, training_curve
from bupo.report.records import Estimate, Run

KS = {k: Estimate(0.5 + k / 20, 0.45 + k / 20, 0.56 + k / 20) for k in (1, 2, 4, 8)}


def evaluated(without=()) -> list[Cell]:
    """The base and GRPO with two seeds; those of ``without`` are not evaluated."""
    found = results({"base": both(0.3), "grpo": both(0.5)}, SIZES, seeds=(1, 2))

    def known(run: Run) -> Run:
        each = {name: dataclasses.replace(e, pass_at_k=KS) for name, e in run.evaluated.items()}
        return dataclasses.replace(run, evaluated={} if run.name in without else each)

    return cells_of(dataclasses.replace(found, runs=[known(run) for run in found.runs]))


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_pass_at_k_has_k_on_a_log_axis_and_a_band_of_each_run(drawn, line):
    cells = evaluated()
    figure = drawn(pass_at_k, cells, cell_looks(["base", "grpo"]), "m", "a")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8"]
    assert line(axes, "base") == [(k, e.value) for k, e in KS.items()]
    bands = [band.get_paths()[0].vertices for band in axes.collections]
    assert len(bands) == 3 and legend(figure) == ["base", "grpo"]
    for band in bands:
        for k, estimate in KS.items():
            assert set(band[np.isclose(band[:, 0], k), 1]) == {estimate.low, estimate.high}


@pytest.mark.parametrize("missing", [1, 2])
def test_a_cell_of_which_one_seed_is_evaluated_has_its_line_and_its_name(drawn, missing):
    cells = evaluated(without=(f"m/grpo/seed{missing}",))
    figure = drawn(pass_at_k, cells, cell_looks(["base", "grpo"]), "m", "a")
    assert len(figure.axes[0].get_lines()) == 2 and legend(figure) == ["base", "grpo"]


def test_what_is_not_evaluated_is_not_drawn(drawn):
    cells = evaluated(without=("m/grpo/seed1", "m/grpo/seed2"))
    assert legend(drawn(pass_at_k, cells, cell_looks(["base", "grpo"]), "m", "a")) == ["base"]
    assert pass_at_k(cells, {}, "other", "a") is None


@pytest.mark.parametrize("missing", [1, 2])
def test_a_cell_of_which_one_seed_is_recorded_has_its_name(drawn, missing):
    points = {"critic/score/mean": [(1, 0.5), (2, 0.6)]}
    runs = [Run("m", "grpo", seed, "grpo", metrics={} if seed == missing else points) for seed in (1, 2)]
    figure = drawn(training_curve, [Cell("m", "grpo", runs)], cell_looks(["grpo"]), "m", CURVES[0])
    assert len(figure.axes[0].get_lines()) == 1 and legend(figure) == ["grpo"]


def test_the_distance_from_the_full_to_the_internal_policy_has_a_curve(drawn, line):
    curve = next(each for each in CURVES if each.name == "kl-internal")
    values = [(1, 2.5), (2, 2.25), (3, 2.0)]
    run = Run("m", "bupo-k3", 1, "bupo", layer_requested=3, metrics={"bupo/kl_full_to_internal": values})
    other = Run("m", "grpo", 1, "grpo", metrics={"critic/score/mean": values})
    assert series(run, curve) == values and series(other, curve) == []
    cells = [Cell("m", each.cell, [each]) for each in (run, other)]
    looks = cell_looks(["bupo-k3", "grpo"])
    assert training_curve(cells, looks, "m", curve).name == "training-kl-internal-m"
    figure = drawn(training_curve, cells, looks, "m", curve)
    (axes,) = figure.axes
    assert line(axes, "bupo-k3") == values and legend(figure) == ["bupo-k3"]
    assert axes.get_title("left") == "KL from the full to the internal policy: m"
    assert axes.get_ylabel() == "nats per token"

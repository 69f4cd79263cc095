"""The figures of the flow over training show what the tables of the runs hold."""

import numpy as np
import pandas as pd
import pytest
from entropy_tables import flow_table
from hypothesis import given
from hypothesis import strategies as st

from bupo.figures.flow import write_flow_figures
from bupo.figures.style import cell_looks
from bupo.figures.training_flow import TrainedRun, TrainingFlow, training_flows
from bupo.figures.training_panels import cosine_by_step, entropy_by_step, kl_by_step, perplexity, spread
from bupo.figures.training_shift import entropy_shift

STEPS = (4, 8, 12)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    runs = [("base", 0, (0,)), ("grpo", 1, STEPS), ("bupo-k2-s4", 1, STEPS), ("bupo-k2-s4", 2, STEPS)]
    return pd.concat([flow_table("tiny", *run[:2], 6, run[2], pace=0.1 * i) for i, run in enumerate(runs)])


@pytest.fixture(scope="module")
def flow(table) -> TrainingFlow:
    looks = cell_looks(["base", "grpo", "bupo-k2-s4"])
    runs = {
        "tiny/grpo/seed1": TrainedRun("grpo", looks["grpo"]),
        **{f"tiny/bupo-k2-s4/seed{s}": TrainedRun("bupo", looks["bupo-k2-s4"], [4]) for s in (1, 2)},
    }
    (found,) = training_flows(table, runs, 0.95)
    return found


def value(table, run, step, quantity, policy, lens, layer, anchor=None) -> float:
    rows = table[(table["run"] == f"tiny/{run}") & (table["step"] == step) & (table["quantity"] == quantity)]
    rows = rows[(rows["policy"] == policy) & (rows["lens"] == lens) & (rows["layer"] == layer)]
    rows = rows if anchor is None else rows[rows["anchor"] == anchor]
    assert len(rows) == 1
    return float(rows["mean"].iloc[0])


def test_perplexity_starts_at_the_model_before_training(table, flow, drawn, line):
    (axes,) = drawn(perplexity, flow).axes
    nll = [value(table, "base/seed0", 0, "nll", "final", "final_norm", 6)]
    nll += [value(table, "grpo/seed1", step, "nll", "final", "final_norm", 6) for step in STEPS]
    assert line(axes, "grpo") == [
        (s, pytest.approx(np.exp(n))) for s, n in zip((0, *STEPS), nll, strict=True)
    ]
    assert 4.5 in [float(each.get_xdata()[0]) for each in axes.get_lines()], "the switch is after step 4"
    assert len([each for each in axes.get_lines() if each.get_label() == "bupo"]) == 2


def test_every_run_of_a_few_layers_is_drawn(table, flow, drawn, line):
    axes = drawn(entropy_by_step, flow, "raw").axes
    assert [each.get_title("left") for each in axes] == [f"layer {layer}" for layer in range(1, 7)]
    expected = [value(table, "grpo/seed1", step, "entropy", "layer", "raw", 5) for step in STEPS]
    assert [y for _, y in line(axes[4], "grpo")[1:]] == expected


def test_layer_k_is_compared_with_later_ones(table, flow, drawn, line):
    cosine, kl = drawn(cosine_by_step, flow, 2).axes, drawn(kl_by_step, flow, 2, "final_norm").axes
    assert [each.get_title("left") for each in cosine] == [f"k = 2, layer {m}" for m in (3, 4, 6)]
    assert line(cosine[2], "grpo")[-1] == (
        12,
        value(table, "grpo/seed1", 12, "cosine_to_later", "layer", "raw", 6, 2),
    )
    assert line(kl[1], "grpo")[0] == (
        0,
        value(table, "base/seed0", 0, "kl_to_later", "layer", "final_norm", 4, 2),
    )
    assert cosine[0].get_ylim() == cosine[2].get_ylim()


def test_the_shift_is_from_the_model_before_training(table, flow, drawn):
    grpo, bupo, _ = drawn(entropy_shift, flow, "raw").axes
    cells = np.asarray(grpo.images[0].get_array())
    assert cells.shape == (6, 3)
    moved = value(table, "grpo/seed1", 12, "entropy", "layer", "raw", 6)
    start = value(table, "base/seed0", 0, "entropy", "layer", "raw", 6)
    assert cells[5, 2] == pytest.approx(moved - start)
    assert [label.get_text() for label in grpo.get_xticklabels()] == ["4", "8", "12"]
    assert grpo.images[0].get_clim() == bupo.images[0].get_clim()
    assert {float(each.get_xdata()[0]) for each in bupo.get_lines()} == {0.5}
    assert not grpo.get_lines()


def test_the_shift_of_every_layer_and_step_is_under_the_pointer(table, flow):
    moved = value(table, "grpo/seed1", 12, "entropy", "layer", "raw", 6)
    moved -= value(table, "base/seed0", 0, "entropy", "layer", "raw", 6)
    panel = entropy_shift(flow, "raw")
    assert f"<title>grpo, layer 6, step 12: {moved:+.3f} nats</title>" in panel.inline()
    assert panel.fields.count("<title>") == 2 * 6 * 3, "a map for each cell"


def test_captions_say_lens_n_level_and_switches(flow):
    caption = entropy_by_step(flow, "raw").caption
    assert "tiny, 6 layers counted from 1, raw lens (no final norm)." in caption
    assert "1,546 tokens in responses to 96 problems; bands are 95 % intervals" in caption
    assert "another policy is trained after step 4 (bupo)." in caption
    assert "intervals" not in entropy_shift(flow, "raw").caption


def test_files_are_written_for_every_model_with_a_trained_run(table, tmp_path):
    other = flow_table("other", "base", 0, 6, (0,))
    files = write_flow_figures(pd.concat([table, other]), tmp_path / "figures")
    names = {path.name for path in files}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    assert "flow-perplexity-tiny.svg" in names and "flow-kl-k2-raw-tiny.png" in names
    assert not [name for name in names if "other" in name]
    assert write_flow_figures(other, tmp_path / "none") == []
    again = perplexity(training_flows(table)[0])
    assert (tmp_path / "figures/flow-perplexity-tiny.svg").read_bytes() == again.svg.encode()


def test_a_run_without_the_model_before_training_starts_at_its_first_step(drawn, line):
    (flow,) = training_flows(flow_table("tiny", "grpo", 1, 6, STEPS))
    assert [step for step, _ in line(drawn(perplexity, flow).axes[0], "grpo")] == list(STEPS)
    assert "that at step 4" in entropy_shift(flow, "raw").caption
    (short,) = training_flows(flow_table("tiny", "grpo", 1, 6, (4,)))
    assert drawn(entropy_shift, short, "raw") is None


@given(st.integers(1, 100), st.integers(1, 100), st.sets(st.integers(1, 100), max_size=4), st.integers(1, 8))
def test_layers_are_spread_around_those_wanted(a, b, wanted, most):
    first, last = min(a, b), max(a, b)
    found = spread(first, last, wanted, most)
    assert found == sorted(set(found)) and all(first <= layer <= last for layer in found)
    assert len(found) == min(most, last - first + 1)
    inside = {layer for layer in wanted if first <= layer <= last}
    assert inside <= set(found) or len(inside) > most

import json
import math
import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.entropy.boundary import FfnChange, boundary_record, find_boundary, stage
from bupo.entropy.settings import Analysis

TOLERANCE = 0.05


def changes(*intervals):
    return [FfnChange(i, (low + high) / 2, low, high) for i, (low, high) in enumerate(intervals, start=1)]


UP, ZERO, DOWN = (0.2, 0.4), (-0.02, 0.02), (-0.4, -0.2)
MAYBE_UP, MAYBE_DOWN = (0.0, 0.3), (-0.3, 0.0)


def test_the_papers_pattern():
    found = find_boundary(changes(*[UP] * 6, *[ZERO] * 20, *[DOWN] * 10), TOLERANCE)
    assert (found.status, found.boundary_layer) == ("clear", 6)
    assert found.stages == ["exploration"] * 6 + ["integration"] * 20 + ["convergence"] * 10
    assert "Layer 6" in found.reason and "0.05 nats" in found.reason


def test_the_last_positive_layer_counts_not_the_first_run():
    assert find_boundary(changes(UP, DOWN, UP, ZERO), TOLERANCE).boundary_layer == 3


def test_doubt_below_the_boundary_does_not_matter():
    found = find_boundary(changes(MAYBE_UP, UP, MAYBE_DOWN, DOWN), TOLERANCE)
    assert (found.status, found.boundary_layer) == ("clear", 2)
    assert found.stages == ["undecided", "exploration", "undecided", "convergence"]


@pytest.mark.parametrize(
    ("intervals", "words"),
    [
        (
            (UP, MAYBE_UP, DOWN),
            "layer 2 .* may or may not exceed 0.05 nats, and the last one surely above it is layer 1",
        ),
        ((DOWN, MAYBE_UP, DOWN), "no layer is surely above it"),
        ((ZERO, DOWN, DOWN), "No layer's FFN raises the entropy"),
        ((UP, ZERO, UP), "last layer, 3, still raises"),
        (((math.nan, math.nan), UP), "Fewer than two problems"),
    ],
)
def test_unclear_with_a_reason(intervals, words):
    found = find_boundary(changes(*intervals), TOLERANCE)
    assert (found.status, found.boundary_layer) == ("unclear", None)
    assert re.search(words, found.reason), found.reason
    assert found.reason.endswith(".") and "\n" not in found.reason


@pytest.mark.parametrize(
    "wrong", [[], [FfnChange(2, 0, 0, 0)], [FfnChange(2, 0, 0, 0), FfnChange(1, 0, 0, 0)]]
)
def test_layers_must_be_complete(wrong):
    with pytest.raises(ValueError, match=r"1\.\.L in order"):
        find_boundary(wrong, TOLERANCE)


numbers = st.floats(-2, 2, allow_nan=False)
interval = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
layers = st.lists(interval, min_size=1, max_size=40)
tolerances = st.floats(0, 1, allow_nan=False)


@given(layers, tolerances)
def test_a_clear_boundary_can_be_trained_and_is_beyond_doubt(intervals, tolerance):
    found = find_boundary(changes(*intervals), tolerance)
    if found.status == "unclear":
        assert found.boundary_layer is None
        return
    k = found.boundary_layer
    assert 1 <= k <= len(intervals) - 1
    assert intervals[k - 1][0] > tolerance
    assert all(high <= tolerance for _, high in intervals[k:])
    assert found.stages[k - 1] == "exploration" and "exploration" not in found.stages[k:]


@given(layers, tolerances)
def test_unclear_only_for_a_stated_cause(intervals, tolerance):
    found = find_boundary(changes(*intervals), tolerance)
    above = [i for i, (low, _) in enumerate(intervals, 1) if low > tolerance]
    straddles = any(low <= tolerance < high for low, high in intervals[(above[-1] if above else 0) :])
    at_the_top = bool(above) and above[-1] == len(intervals)
    assert (found.status == "unclear") == (straddles or at_the_top or not above)


@given(layers, tolerances, st.floats(0, 1, allow_nan=False))
def test_wider_intervals_never_make_a_boundary_clearer(intervals, tolerance, more):
    narrow = find_boundary(changes(*intervals), tolerance)
    wide = find_boundary(changes(*[(low - more, high + more) for low, high in intervals]), tolerance)
    if wide.status == "clear":
        assert narrow.boundary_layer is None or narrow.boundary_layer >= wide.boundary_layer
        assert intervals[wide.boundary_layer - 1][0] > tolerance


@given(interval, tolerances)
def test_a_stage_says_where_the_whole_interval_is(pair, tolerance):
    low, high = pair
    found = stage(FfnChange(1, (low + high) / 2, low, high), tolerance)
    assert (found == "exploration") == (low > tolerance)
    assert (found == "convergence") == (high < -tolerance)
    assert (found == "integration") == (-tolerance <= low and high <= tolerance)


def statistics(*intervals, lens="raw"):
    """Other rows too, and the layers in no order."""
    rows = [
        (quantity, policy, layer, lens, name, 0.3, low, high, 90, 8)
        for layer, (low, high) in reversed(list(enumerate(intervals, start=1)))
        for quantity, policy, name in (
            ("entropy_change", "ffn", "all"),
            ("entropy_change", "ffn", "wrong"),
            ("entropy_change", "attention", "all"),
            ("entropy", "ffn", "all"),
        )
    ]
    columns = [
        "quantity",
        "policy",
        "layer",
        "lens",
        "slice",
        "mean",
        "low",
        "high",
        "n_tokens",
        "n_problems",
    ]
    return pd.DataFrame(rows, columns=columns)


def test_the_record_names_the_layer_its_evidence_and_the_problems():
    settings = Analysis(boundary_lens="final_norm", tolerance=0.1)
    table = pd.concat([statistics(UP, UP, ZERO, DOWN, lens="final_norm"), statistics(DOWN, DOWN, DOWN, DOWN)])
    record = boundary_record(table, "m", ["math.parquet"], settings)
    assert record["boundary_layer"] == record["recommended_layer"] == 2
    assert (record["status"], record["layers"], record["model"]) == ("clear", 4, "m")
    assert (record["n_tokens"], record["n_problems"], record["problem_files"]) == (90, 8, ["math.parquet"])
    assert (record["lens"], record["tolerance"], record["level"]) == ("final_norm", 0.1, 0.95)
    assert record["evidence"][1] == {
        **{"layer": 2, "ffn_change": 0.3, "low": 0.2, "high": 0.4},
        "stage": "exploration",
    }
    assert [each["stage"] for each in record["evidence"]][2:] == ["integration", "convergence"]


def test_no_layer_is_recommended_where_it_is_unclear():
    record = boundary_record(statistics(UP, MAYBE_UP, DOWN), "m", [], Analysis())
    assert record["status"] == "unclear"
    assert record["boundary_layer"] is record["recommended_layer"] is None


def test_the_record_is_json_without_intervals_too():
    for found in ((UP, DOWN), ((math.nan, math.nan), (math.nan, math.nan))):
        record = boundary_record(statistics(*found), "m", ["a.csv"], Analysis())
        assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["status"] == "unclear" and record["evidence"][0]["low"] is None

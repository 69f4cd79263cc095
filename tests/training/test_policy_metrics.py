"""What is measured of the policies beside the training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.training.observation import observed_keys, observed_phase
from bupo.training.policy_metrics import repetition
from bupo.training.schedule import parse_schedule
from bupo.training.settings import ObserveSettings


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 6))
def test_repetition_counts_the_n_grams_that_were_there_before(tokens, n):
    grams = [tuple(tokens[place : place + n]) for place in range(len(tokens) - n + 1)]
    expected = 1 - len(set(grams)) / len(grams) if grams else 0.0
    assert repetition(np.array(tokens, dtype=np.int64), n) == pytest.approx(expected, abs=1e-12)


def test_repetition_tells_large_ids_and_orders_apart():
    rng = np.random.default_rng(0)
    assert repetition(rng.integers(0, 200_000, 8_000)) == 0.0
    assert repetition(np.tile(rng.integers(0, 200_000, 50), 100)) == pytest.approx(1 - 50 / 4_993)
    assert repetition(np.array([1, 2, 2, 1, 1, 2]), n=2) == pytest.approx(1 - 4 / 5)


@given(st.integers(0, 60), st.integers(1, 50), st.integers(1, 9))
def test_the_responses_read_are_spread_over_the_step(total, wanted, unit):
    keys = [str(row) for row in range(total)]
    found = observed_keys(keys, wanted, unit)
    assert len(found) % unit == 0
    assert len(set(found)) == len(found)
    assert sorted(found, key=int) == found
    if total // unit * unit >= wanted:
        assert wanted <= len(found) < wanted + unit
    else:
        assert len(found) == total // unit * unit


@pytest.mark.parametrize(
    ("schedule", "layer", "read"),
    [
        ([{"layer": "final"}], None, [None, None]),
        ([{"layer": "final"}], 3, [3, 3]),
        ([{"layer": 2, "steps": 1}, {"layer": "final"}], None, ["full", 2]),
        ([{"layer": 2, "steps": 1}, {"layer": "final"}], 3, ["full", 3]),
        ([{"layer": 1, "steps": 1}, {"layer": 2, "steps": 1}, {"layer": "final"}], None, ["full", "full", 2]),
        ([{"layer": 2}], None, ["full", "full"]),
    ],
)
def test_the_policy_read_is_the_other_one(schedule, layer, read):
    parsed = parse_schedule(schedule, 4, "raw", "test")
    settings = ObserveSettings(layer=layer)
    found = [observed_phase(parsed, parsed.at(step), 4, settings) for step in range(1, len(read) + 1)]
    names = [None if one is None else one.layer.number if one.layer else "full" for one in found]
    assert names == read
    off = ObserveSettings(responses=0, layer=layer)
    assert all(observed_phase(parsed, parsed.at(step), 4, off) is None for step in range(1, len(read) + 1))


@pytest.mark.slow
def test_what_is_read_beside_is_what_phase_1_computes_and_changes_nothing(compose, tmp_path):
    from test_training_run import metrics, models, written
    from warm_trainer import WarmTrainer

    trainer = WarmTrainer()
    runs = {
        "internal": ("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=1"),
        "beside": ("bupo.observe={responses: 32, layer: 2}",),
        "some": ("bupo.observe={responses: 9, layer: 2}",),
        "without": ("bupo.observe.responses=0",),
    }
    small = (
        "trainer.total_training_steps=2",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8",
    )
    for name, overrides in runs.items():
        config = written(compose, tmp_path / name / "config", *overrides, *small)
        status, said = trainer.train(config, tmp_path / name / "run")
        assert status == 0, said
    trainer.close()
    internal, beside, some, without = (metrics(tmp_path / name / "run") for name in runs)
    # the first step's responses are the same ones: GRPO reads beside what BuPO trains
    read = ("bupo/entropy_internal", "bupo/kl_full_to_internal")
    for key in (*read, "bupo/entropy_full"):
        assert beside[0][key] == pytest.approx(internal[0][key], rel=1e-4), key
    assert beside[0]["bupo/kl_full_to_internal"] > 0.1
    assert all({*read, "bupo/observed_responses"} <= line.keys() for line in beside)
    assert all(read_key in line for line in internal for read_key in read)
    assert [line["bupo/observed_responses"] for line in (*beside, *some)] == [32, 32, 16, 16]
    assert some[0]["bupo/kl_full_to_internal"] == pytest.approx(
        beside[0]["bupo/kl_full_to_internal"], rel=0.2
    )
    assert some[0]["bupo/kl_full_to_internal"] != beside[0]["bupo/kl_full_to_internal"]
    left = {*read, "bupo/observed_responses"}
    for name, lines in (("beside", beside), ("some", some)):
        assert models(tmp_path / name / "run") == models(tmp_path / "without/run")
        assert [{k: v for k, v in line.items() if k not in left} for line in lines] == without

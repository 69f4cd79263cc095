"""The guard against collapse: what it heeds, and what a run is that ended by it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bupo.errors import UserError
from bupo.identity import config_sha256
from bupo.training.collapse import BOUNDS, CollapseSettings, find_collapse

NONE = dict.fromkeys(BOUNDS)


def guard(**bounds):
    return CollapseSettings(enabled=True, **{**NONE, **bounds})


def lines(metric, values):
    return [{"step": step, metric: value} for step, value in enumerate(values, start=1)]


@given(st.lists(st.floats(0, 1), max_size=12), st.integers(1, 5), st.floats(0.01, 0.99))
def test_a_bound_has_to_be_broken_in_every_one_of_the_last_steps(values, patience, limit):
    found = find_collapse(lines("bupo/repetition", values), guard(patience=patience, max_repetition=limit))
    broken = len(values) >= patience and min(values[-patience:]) > limit
    assert (found is not None) == broken
    if found:
        assert (found.step, found.bound, found.limit) == (len(values), "max_repetition", limit)
        assert found.values == tuple(values[-patience:])


@pytest.mark.parametrize("bound", BOUNDS)
def test_each_bound_is_of_its_metric_and_on_its_side(bound):
    limit = 0.5 if bound in ("max_repetition", "max_truncated") else 2.0
    beyond, within = (limit * 1.2, limit * 0.8) if bound.startswith("max") else (limit * 0.8, limit * 1.2)
    settings = guard(patience=2, **{bound: limit})
    assert find_collapse(lines(BOUNDS[bound], [beyond, beyond]), settings).bound == bound
    assert find_collapse(lines(BOUNDS[bound], [beyond, limit]), settings) is None
    assert find_collapse(lines(BOUNDS[bound], [beyond, within]), settings) is None
    assert find_collapse(lines("other", [beyond, beyond]), settings) is None


def test_two_bounds_broken_in_turns_are_none():
    settings = guard(patience=2, max_repetition=0.5, max_truncated=0.5)
    step = {"bupo/repetition": 0.9, "bupo/truncated": 0.1}
    other = {"bupo/repetition": 0.1, "bupo/truncated": 0.9}
    assert find_collapse([{"step": 1, **step}, {"step": 2, **other}], settings) is None


def test_off_unless_enabled():
    settings = CollapseSettings(patience=1)
    assert settings.enabled is False
    assert find_collapse(lines("bupo/repetition", [1.0]), settings) is None


def test_an_unknown_bound_is_refused():
    with pytest.raises(ValidationError, match="max_sadness"):
        CollapseSettings(max_sadness=1.0)


def test_only_a_guard_that_is_on_is_part_of_the_identity(compose):
    plain = config_sha256(compose())
    assert config_sha256(compose("bupo.collapse.patience=9", "bupo.observe.responses=3")) == plain
    on = config_sha256(compose("bupo.collapse.enabled=true"))
    assert on != plain
    assert config_sha256(compose("bupo.collapse.enabled=true", "bupo.collapse.patience=9")) != on


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (
            ["bupo.collapse.enabled=true", "bupo.observe.responses=0"],
            r"bupo\.collapse\.max_entropy = 5\.0 needs",
        ),
        (["bupo.observe.layer=5"], r"bupo\.observe\.layer = 5 should be a layer from 1 to 4"),
        (["bupo.collapse.patience=0"], r"bupo\.collapse\.patience"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(compose, overrides, key):
    from bupo.training.settings import check

    with pytest.raises(UserError, match=key):
        check(compose(*overrides), "config.yaml")


GUARDED = (
    *("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=1", "bupo.snapshot_every=1"),
    *("bupo.collapse.enabled=true", "bupo.collapse.patience=2", "bupo.collapse.max_truncated=0.01"),
)


@pytest.fixture(scope="module")
def collapsed(compose, tmp_path_factory):
    """A run that ends at step 2 of 4, one that was killed while that step was saved, and one without a guard."""
    from test_training_run import written
    from warm_trainer import WarmTrainer

    folder = tmp_path_factory.mktemp("collapse")
    config = written(compose, folder / "guarded", *GUARDED)
    unguarded = written(compose, folder / "plain", *GUARDED, "bupo.collapse.enabled=false")
    trainer = WarmTrainer()
    told = trainer.train(config, folder / "run")
    assert told[0] == 0, told[1]
    killed = trainer.train(config, folder / "killed", kill=0, during="commit")
    assert killed[0] < 0, killed[1]
    while (again := trainer.train(config, folder / "killed"))[0] != 0:
        raise AssertionError(again[1])
    assert trainer.train(unguarded, folder / "whole")[0] == 0
    yield folder, told[1], trainer, config
    trainer.close()


@pytest.mark.slow
def test_a_collapsed_run_ends_with_its_evidence(collapsed):
    from test_training_run import metrics

    folder, said, _, _ = collapsed
    done = json.loads((folder / "run" / "done.json").read_text())
    steps = metrics(folder / "run")
    assert (done["status"], done["steps"], len(steps)) == ("collapsed", 2, 2)
    assert done["collapse"] == {
        **{"step": 2, "bound": "max_truncated", "limit": 0.01, "metric": "bupo/truncated"},
        "values": [line["bupo/truncated"] for line in steps],
    }
    assert done["snapshots"] == {"1": "snapshots/step-000001", "2": "model"}
    assert "collapsed at step 2: bupo/truncated was" in said
    assert [path.name for path in (folder / "run/snapshots").iterdir()] == ["step-000001"]


@pytest.mark.slow
def test_its_model_is_that_of_its_last_step(collapsed):
    from bupo.files import sha256_file

    folder = collapsed[0]
    done = json.loads((folder / "whole" / "done.json").read_text())
    assert (done["status"], done["steps"], "collapse" in done) == ("completed", 4, False)
    same = [folder / "run/model", folder / "whole/snapshots/step-000002", folder / "killed/model"]
    assert len({sha256_file(path / "model.safetensors") for path in same}) == 1


@pytest.mark.slow
def test_one_that_was_killed_while_it_collapsed_collapses_at_the_same_step(collapsed):
    from test_training_run import metrics

    folder = collapsed[0]
    assert metrics(folder / "killed") == metrics(folder / "run")
    one, other = (json.loads((folder / name / "done.json").read_text()) for name in ("run", "killed"))
    assert one["collapse"] == other["collapse"]
    assert one["snapshots"] == other["snapshots"]


@pytest.mark.slow
def test_a_collapsed_run_is_done(collapsed):
    folder, _, trainer, config = collapsed
    before = (folder / "run/metrics.jsonl").stat().st_mtime_ns
    status, said = trainer.train(config, folder / "run")
    assert (status, "done already" in said) == (0, True)
    assert (folder / "run/metrics.jsonl").stat().st_mtime_ns == before

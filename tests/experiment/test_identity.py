"""Which keys make a run another run."""

import pytest

from bupo.errors import UserError
from bupo.identity import changes_nothing, config_sha256, without
from bupo.training.run import _overridden

CONFIG = {
    "bupo": {"layer": 3, "checkpoints": {"keep_last": 2}, "collapse": {"enabled": False, "patience": 3}},
    "trainer": {"log_val_generations": 0, "total_training_steps": 4},
    "actor_rollout_ref": {"rollout": {"disable_log_stats": True, "n": 8}},
}


@pytest.mark.parametrize(
    "override",
    [
        "trainer.log_val_generations=5",
        "+actor_rollout_ref.rollout.disable_log_stats=false",
        "bupo.checkpoints.keep_last=3",
        "bupo.time_limit_s=60",
    ],
)
def test_what_is_logged_and_kept_is_no_part_of_it(override, tmp_path):
    assert changes_nothing(override)
    (tmp_path / "training.yaml").write_text(f"- {override}\n")
    changed = _overridden(CONFIG, tmp_path / "training.yaml")
    assert changed != CONFIG and config_sha256(changed) == config_sha256(CONFIG)


@pytest.mark.parametrize("override", ["trainer.total_training_steps=5", "bupo.layer=4", "bupo.checkpoint=1"])
def test_what_is_trained_is_part_of_it(override, tmp_path):
    assert not changes_nothing(override)
    (tmp_path / "training.yaml").write_text(f"- {override}\n")
    with pytest.raises(UserError, match="part of the run's identity"):
        _overridden(CONFIG, tmp_path / "training.yaml")


def test_snapshots_are_results_that_a_workflow_has_to_make():
    assert not changes_nothing("bupo.snapshot_every=2")


def test_keys_that_are_not_there_can_be_left_out():
    assert without({"a": {"b": 1, "c": 2}}, ["a.b", "a.x", "y.z", "a.c.d"]) == {"a": {"c": 2}}

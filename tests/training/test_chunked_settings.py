"""What needs logits is refused before anything starts."""

import copy

import pytest

from bupo.errors import UserError
from bupo.experiment.compose import compose_cell
from bupo.training.settings import check


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("actor_rollout_ref.actor.entropy_coeff", 0.001),
        ("actor_rollout_ref.actor.calculate_sum_pi_squared", True),
        ("distillation.enabled", True),
    ],
)
def test_what_needs_logits_is_refused(compose, path, value):
    config = copy.deepcopy(compose("bupo.chunked_log_prob=true"))
    check(config, "c")
    *folders, key = path.split(".")
    at = config
    for name in folders:
        at = at[name]
    assert key in at
    at[key] = value
    with pytest.raises(UserError, match=f"^c: {path} = {value} should be off: with bupo.chunked_log_prob"):
        check(config, "c")
    config["bupo"]["chunked_log_prob"] = False
    check(config, "c")


@pytest.mark.parametrize(("engine", "expected"), [("cpu", False), ("gpu", True)])
def test_the_default_of_an_engine(root, engine, expected):
    values = {
        "bupo.model": "m",
        "bupo.cell": "c",
        "bupo.layers": 36,
        "actor_rollout_ref.model.path": "m",
        "data.train_files": ["t.parquet"],
    }
    config = compose_cell(root / "configs", [f"engine={engine}"], values, where="test")
    assert config["bupo"]["chunked_log_prob"] is expected

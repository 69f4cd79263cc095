import pytest

from bupo.errors import UserError
from bupo.experiment.compose import compose_cell
from bupo.experiment.workload import Workloads, workload_of

OVERRIDES = ["data.train_batch_size=64", "+bupo.extra=1", "++actor_rollout_ref.rollout.n=3"]


@pytest.mark.parametrize(
    ("method", "engine", "settings", "overrides"),
    [
        ("grpo", "cpu", "paper", []),
        ("grpo", "gpu", "scripts", []),
        ("ppo", "gpu", "paper", OVERRIDES),
        ("bupo_final_norm", "gpu", "paper", ["bupo.checkpoints.keep_last=5", "trainer.nnodes=2"]),
    ],
)
def test_it_is_that_of_the_whole_configuration(root, method, engine, settings, overrides):
    values = {"bupo.model": "octothinker_3b", "bupo.cell": "x", "bupo.layers": 28}
    values |= {"data.train_files": ["x"], "actor_rollout_ref.model.path": "x"}
    values |= {"bupo.layer": 3, "bupo.iterative_steps": 2}
    groups = [f"algorithm={method}", f"settings={settings}", f"engine={engine}"]
    whole = compose_cell(root / "configs", [*groups, *overrides], values, where="x")
    found = Workloads(root / "configs", engine, settings, overrides, "x").of(method, "octothinker_3b")
    assert found == workload_of(whole)


def test_a_model_has_its_own_longest_response(root):
    workloads = Workloads(root / "configs", "gpu", "paper", [], "x")
    assert workloads.of("grpo", "qwen3_4b").response_tokens == 7168
    assert workloads.of("grpo", "octothinker_8b").response_tokens == 3072
    assert workloads.of("grpo", "qwen3_4b").responses == 1024


def test_gpus_and_models(root):
    workloads = Workloads(root / "configs", "gpu", "paper", ["trainer.nnodes=2"], "x")
    assert (workloads.of("grpo", "qwen3_4b").gpus, workloads.of("grpo", "qwen3_4b").models) == (16, 1)
    assert workloads.of("ppo", "qwen3_4b").models == 2
    assert Workloads(root / "configs", "cpu", "paper", [], "x").of("grpo", "tiny_qwen3").gpus == 0


def test_an_override_that_is_none_is_told(root):
    with pytest.raises(UserError, match=r"^x\.overrides: .*Hydra's\.$"):
        Workloads(root / "configs", "cpu", "paper", ["no override"], "x").of("grpo", "tiny_qwen3")


def test_the_checkpoints_that_are_kept_make_no_step_longer(root):
    one, other = (
        Workloads(root / "configs", "cpu", "paper", [f"bupo.checkpoints.keep_last={n}"], "x").of("grpo", "m")
        for n in (1, 2)
    )
    assert one != other and one.as_long_as(other)

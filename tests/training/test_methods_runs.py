"""Whole runs of the methods: PPO's critic, optimisers at a switch, references, and what may be combined."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_training_run import metrics, models, train, written
from warm_trainer import WarmTrainer

from bupo.training.stopping import STATUS

pytestmark = pytest.mark.slow

BUPO = ("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=2", "bupo.snapshot_every=1")
PPO = ("algorithm=ppo", "trainer.total_training_steps=3")
RESET = (*BUPO, "bupo.optimizer_at_switch=reset")
ONE_UPDATE = ("trainer.total_training_steps=1", "actor_rollout_ref.actor.ppo_mini_batch_size=8")
KL = "actor_rollout_ref.actor.use_kl_loss=true"
PACKED = "actor_rollout_ref.model.use_remove_padding=true"
DYNAMIC = (
    "actor_rollout_ref.actor.use_dynamic_bsz=true",
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=64",
)
CHECKPOINTING = "actor_rollout_ref.model.enable_gradient_checkpointing=true"


@pytest.fixture(scope="module")
def run(compose, tmp_path_factory):
    """``run(*overrides)``: the folder of a training that is over; the same overrides train once."""
    trainer, done = WarmTrainer(), {}

    def make(*overrides, **orders):
        key = (*overrides, *orders.items())
        if key not in done:
            folder = tmp_path_factory.mktemp("run")
            status, said = trainer.train(
                written(compose, folder / "config", *overrides), folder / "run", **orders
            )
            assert status == (STATUS if orders else 0), said
            if orders:
                again = trainer.train(folder / "config/config.yaml", folder / "run")
                assert again[0] == 0 and "going on after step" in again[1], again
            done[key] = folder / "run"
        return done[key]

    yield make
    trainer.close()


def steps(out):
    """Per step, without times and memory."""
    return [
        {key: value for key, value in line.items() if not key.startswith("critic/perf")}
        for line in metrics(out)
    ]


def same(one, other):
    assert steps(one) == steps(other)
    assert models(one) == models(other)


def tensors(folder):
    return load_file(folder / "model.safetensors")


def test_ppo_tells_how_its_critic_does(run):
    for line in steps(run(*PPO)):
        assert {"critic/vf_loss", "critic/grad_norm", "critic/values/mean", "critic/vf_explained_var"} <= set(
            line
        )
        assert line["critic/lr"] == 1e-5 and line["actor/lr"] == 0.01


def test_the_critic_learns_what_the_responses_are_worth(run):
    out = run(
        "algorithm=ppo", "trainer.total_training_steps=8", "critic.optim.lr=0.003", "critic.ppo_epochs=4"
    )
    losses = [line["critic/vf_loss"] for line in steps(out)]
    assert sum(losses[4:]) < sum(losses[:4]) / 4


@pytest.mark.parametrize("step", [1, 2])
def test_ppo_goes_on_exactly(run, step):
    same(run(*PPO, signal=step), run(*PPO))


def test_ppo_with_ray_has_the_same_numbers(run, compose, tmp_path):
    config = written(compose, tmp_path / "config", *PPO, "bupo.single_process=false")
    train(config, tmp_path / "run")
    same(tmp_path / "run", run(*PPO))


def test_ppo_and_frozen_layers_on_two_ranks(run, compose, model_folder, tmp_path):
    settings = (*PPO, "bupo.learning_rates={split: 2, lower: 0.0}")
    ranks = ("bupo.single_process=false", "trainer.n_gpus_per_node=2", "trainer.total_training_steps=1")
    train(written(compose, tmp_path / "config", *settings, *ranks), tmp_path / "run")
    one, two = steps(run(*settings))[0], steps(tmp_path / "run")[0]
    assert two["critic/score/mean"] == one["critic/score/mean"]
    assert two["critic/values/mean"] == pytest.approx(one["critic/values/mean"], rel=1e-4)
    assert two["critic/returns/mean"] == pytest.approx(one["critic/returns/mean"], rel=1e-4)
    before, after = tensors(model_folder), tensors(tmp_path / "run/model")
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if ".layers.0." in name or ".layers.1." in name}


def test_a_critic_of_the_full_policy_serves_an_internal_one(run, model_folder):
    out = run(*BUPO, "algorithm.adv_estimator=gae")
    lines = steps(out)
    assert [line["bupo/internal"] for line in lines] == [1, 1, 0, 0]
    # the same rollouts, and the same fresh critic, as where the full policy is trained
    assert lines[0]["critic/values/mean"] == pytest.approx(
        steps(run(*PPO))[0]["critic/values/mean"], rel=1e-6
    )
    assert all(line["critic/grad_norm"] > 0 for line in lines)
    first, phase_1 = tensors(model_folder), tensors(out / "snapshots/step-000002")
    upper = "model.layers.2.mlp.up_proj.weight"
    assert torch.equal(first[upper], phase_1[upper])


def test_a_fresh_optimiser_at_the_switch_changes_what_follows(run):
    kept, reset = run(*BUPO), run(*RESET)
    for step in (1, 2):
        assert (
            models(kept)[f"snapshots/step-00000{step}/model.safetensors"]
            == models(reset)[f"snapshots/step-00000{step}/model.safetensors"]
        )
    one, two = (tensors(out / "snapshots/step-000003") for out in (kept, reset))
    assert not torch.equal(one["model.layers.0.mlp.up_proj.weight"], two["model.layers.0.mlp.up_proj.weight"])


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_fresh_optimiser_at_the_switch_is_exact_also_where_the_run_was_stopped_there(run, step):
    same(run(*RESET, signal=step), run(*RESET))


@pytest.mark.parametrize("internal", [False, True], ids=["full", "internal"])
def test_the_reference_is_read_at_the_layer_that_is_trained(run, internal):
    """Before the first update the policy is the reference, and nothing lies between them."""
    line = steps(run(*(BUPO if internal else ()), "++bupo.iterative_steps=1", KL, *ONE_UPDATE))[0]
    assert line["actor/kl_loss"] == 0.0
    assert line["bupo/internal"] == int(internal)


@pytest.mark.parametrize("phases", [(), BUPO], ids=["full", "both phases"])
def test_what_does_not_change_the_policy_does_not_change_the_numbers(run, phases):
    plain = run(*phases, KL)
    for overrides in (DYNAMIC, (CHECKPOINTING,), (PACKED,), (PACKED, *DYNAMIC, CHECKPOINTING)):
        for one, other in zip(steps(run(*phases, KL, *overrides))[:2], steps(plain)[:2], strict=True):
            for key in ("critic/score/mean", "response_length/mean", "actor/kl_loss", "actor/grad_norm"):
                assert one[key] == pytest.approx(other[key], rel=2e-3, abs=1e-5), (overrides, key)


def test_frozen_layers_are_exported_bitwise_as_they_were(run, model_folder):
    out = run("algorithm=grpo_frozen", "++bupo.layer=3", "trainer.total_training_steps=2")
    before, after = tensors(model_folder), tensors(out / "model")
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if any(f".layers.{index}." in name for index in range(3))}
    line = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
    assert (line["actor/lr"], line["actor/lr_lower"], line["actor/lr_upper"]) == (0.01, 0.0, 0.01)


def test_progressive_phases_climb(run):
    out = run("algorithm=bupo_progressive", "++bupo.layer=1", "++bupo.iterative_steps=1")
    assert [line["bupo/layer"] for line in steps(out)] == [1, 2, 3, 4]
    assert [line["bupo/internal"] for line in steps(out)] == [1, 1, 1, 0]

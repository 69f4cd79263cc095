"""What would silently train another policy is refused before anything starts."""

import copy

import pytest

from bupo.errors import UserError
from bupo.training.refusals import always, with_an_internal_policy
from bupo.training.settings import check

MODEL, ACTOR = "actor_rollout_ref.model", "actor_rollout_ref.actor"
ALWAYS = {
    f"{MODEL}.use_fused_kernels": True,
    f"{MODEL}.lora_rank": 8,
    f"{MODEL}.lora.rank": 8,
    f"{MODEL}.lora_adapter_path": "adapter",
    f"{ACTOR}.fsdp_config.qat.enable": True,
    "algorithm.use_pf_ppo": True,
    "algorithm.filter_groups.enable": True,
    "data.gen_batch_size": 4,
    "trainer.v1.sampler.sync_refill_failed_groups": True,
    "actor_rollout_ref.rollout.multi_turn.enable": True,
    "reward.reward_model.enable": True,
}
INTERNAL = {
    "algorithm.use_kl_in_reward": True,
    "algorithm.rollout_correction.bypass_mode": True,
    "algorithm.rollout_correction.rollout_is": "token",
    "algorithm.rollout_correction.rollout_rs": "token_k1",
    "algorithm.adv_estimator": "optimal_token_baseline",
    f"{ACTOR}.policy_loss.loss_mode": "bypass_mode",
    f"{ACTOR}.fsdp_config.use_no_sync_for_gradient_accumulation": True,
    f"{MODEL}.enable_activation_offload": True,
    f"{MODEL}.mtp.enable": True,
    f"{MODEL}.use_liger": True,
    "distillation.enabled": True,
    "trainer.critic_warmup": 2,
}
ALLOWED = {
    f"{ACTOR}.use_kl_loss": True,
    f"{ACTOR}.use_dynamic_bsz": True,
    f"{ACTOR}.entropy_coeff": 0.001,
    f"{ACTOR}.ppo_epochs": 3,
    f"{ACTOR}.shuffle": True,
    f"{ACTOR}.policy_loss.loss_mode": "gspo",
    f"{ACTOR}.fsdp_config.param_offload": True,
    f"{ACTOR}.fsdp_config.entropy_checkpointing": True,
    f"{MODEL}.enable_gradient_checkpointing": True,
    f"{MODEL}.use_remove_padding": True,
    "algorithm.adv_estimator": "gae",
}


@pytest.fixture(scope="module")
def configs(compose):
    internal = compose("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=2")
    return {"full": compose(), "internal": internal}


def put(config, key, value):
    config = copy.deepcopy(config)
    *path, last = key.split(".")
    at = config
    for name in path:
        at = at[name]
    assert last in at, f"verl has no {key} any more"
    at[last] = value
    return config


@pytest.mark.parametrize("key", ALWAYS)
@pytest.mark.parametrize("phases", ["full", "internal"])
def test_refused_in_every_run(configs, phases, key):
    with pytest.raises(UserError, match=rf"^c: {key} = .* should be off: "):
        check(put(configs[phases], key, ALWAYS[key]), "c")


@pytest.mark.parametrize("key", INTERNAL)
def test_refused_with_an_internal_policy_alone(configs, key):
    check(put(configs["full"], key, INTERNAL[key]), "c")
    with pytest.raises(UserError, match=rf"^c: {key} = .* should be off: "):
        check(put(configs["internal"], key, INTERNAL[key]), "c")


@pytest.mark.parametrize("key", ALLOWED)
def test_allowed(configs, key):
    for config in configs.values():
        check(put(config, key, ALLOWED[key]), "c")


def test_every_refusal_is_tested(configs):
    config = put(configs["internal"], f"{ACTOR}.policy_loss.loss_mode", "bypass_mode")
    config = put(config, "algorithm.adv_estimator", "optimal_token_baseline")
    assert always(config).keys() == ALWAYS.keys()
    assert with_an_internal_policy(config).keys() == INTERNAL.keys()


@pytest.mark.parametrize("part", ["actor_rollout_ref.actor.fsdp_config", "critic.fsdp"])
def test_ranks_share_a_sequence_only_where_attention_knows_of_it(configs, part):
    key = f"{part}.ulysses_sequence_parallel_size"
    config = put(configs["full"], key, 2)
    config["actor_rollout_ref"]["model"]["use_remove_padding"] = True
    with pytest.raises(UserError, match=rf"{key} = 2 should be 1"):
        check(config, "c")
    config["actor_rollout_ref"]["model"]["override_config"]["attn_implementation"] = "flash_attention_2"
    check(config, "c")
    config["actor_rollout_ref"]["model"]["use_remove_padding"] = False
    with pytest.raises(UserError, match=rf"{key} = 2 should be 1"):
        check(config, "c")

"""Switches of verl that would silently train another policy than the one asked for.

They are refused before anything starts. What verl itself refuses aloud is left to it.
"""

from collections.abc import Mapping
from typing import Any

from bupo.errors import UserError

Config = Mapping[str, Any]
FLASH = "flash_attention_2"
LORA = ("lora_rank", "lora.rank", "lora_adapter_path")


def refuse(config: Config, internal: bool, where: str) -> None:
    """Refuse what would train the wrong policy.

    Args:
        config: the whole configuration, plain.
        internal: whether the schedule has an internal policy.
        where: its file, for messages.

    Raises:
        UserError: the first switch that would.
    """
    reasons = always(config) | (with_an_internal_policy(config) if internal else {})
    if config["bupo"]["chunked_log_prob"]:
        reasons |= with_chunked_log_probs()
    for key, reason in reasons.items():
        value = _at(config, key)
        if value:
            raise UserError(f"{where}: {key} = {value} should be off: {reason}.")
    _check_ulysses(config, where)


def always(config: Config) -> dict[str, str]:
    """Switches that are refused in every run, and why."""
    model, actor = "actor_rollout_ref.model", "actor_rollout_ref.actor"
    place = "a prompt has its name from its place in the step's only batch"
    reasons = {
        f"{model}.use_fused_kernels": "verl's fused kernels compute the full policy",
        f"{actor}.fsdp_config.qat.enable": "the exported model would not be the one that is trained",
        "algorithm.use_pf_ppo": "verl pairs the responses that it draws anew with the wrong prompts",
        "algorithm.filter_groups.enable": place,
        "trainer.v1.sampler.sync_refill_failed_groups": place,
    }
    for key in LORA:
        reasons[f"{model}.{key}"] = "internal policies and exported models have no adapters here"
    if config["data"].get("gen_batch_size") != config["data"]["train_batch_size"]:
        reasons["data.gen_batch_size"] = place
    if config["trainer"]["device"] == "cpu":
        reasons["actor_rollout_ref.rollout.multi_turn.enable"] = "rollouts on the CPU have one turn"
        reasons["reward.reward_model.enable"] = "on the CPU the reward is a function"
    return reasons


def with_an_internal_policy(config: Config) -> dict[str, str]:
    """Switches that are refused where an internal policy is trained, and why."""
    correction = "algorithm.rollout_correction"
    reasons = {
        "algorithm.use_kl_in_reward": "the reward of the full policy would hang on an internal one",
        f"{correction}.bypass_mode": "old log-probs would be the full policy's",
        f"{correction}.rollout_is": "its weights would compare the internal with the full policy",
        f"{correction}.rollout_rs": "it would reject samples by comparing the internal with the full policy",
        "distillation.enabled": "the teacher of the full policy would teach an internal one",
        "trainer.critic_warmup": "steps of the first phase would pass without an update",
        "actor_rollout_ref.actor.fsdp_config.use_no_sync_for_gradient_accumulation": (
            "FSDP2 fails at layers that were never run"
        ),
        "actor_rollout_ref.model.enable_activation_offload": "it counts on every layer being run",
        "actor_rollout_ref.model.mtp.enable": "its heads read the layers above",
        "actor_rollout_ref.model.use_liger": "internal policies were never tried with its kernels",
    }
    if str(config["algorithm"]["adv_estimator"]).endswith("optimal_token_baseline"):
        reasons["algorithm.adv_estimator"] = "advantages would be made of an internal policy's probabilities"
    loss_mode = "actor_rollout_ref.actor.policy_loss.loss_mode"
    if _at(config, loss_mode) == "bypass_mode":
        reasons[loss_mode] = "it takes old log-probs for those of the full policy"
    return reasons


def with_chunked_log_probs() -> dict[str, str]:
    """Switches that are refused where there are no logits, and why."""
    needs = "with bupo.chunked_log_prob = true there are no logits, of which"
    return {
        "actor_rollout_ref.actor.entropy_coeff": f"{needs} the entropy's gradient is made",
        "actor_rollout_ref.actor.calculate_sum_pi_squared": f"{needs} the sum is made",
        "distillation.enabled": f"{needs} distillation's losses are made",
    }


def _check_ulysses(config: Config, where: str) -> None:
    model = config["actor_rollout_ref"]["model"]
    attention = (model.get("override_config") or {}).get("attn_implementation", FLASH)
    for part in ("actor_rollout_ref.actor.fsdp_config", "actor_rollout_ref.ref.fsdp_config", "critic.fsdp"):
        key = f"{part}.ulysses_sequence_parallel_size"
        size = _at(config, key) or 1
        if size > 1 and (attention != FLASH or not model.get("use_remove_padding")):
            raise UserError(
                f"{where}: {key} = {size} should be 1: only with {FLASH} and use_remove_padding do ranks "
                "that share a sequence attend to all of it."
            )


def _at(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value

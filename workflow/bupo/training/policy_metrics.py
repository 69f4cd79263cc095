"""What a step's responses tell of the policies, under names that say of which one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tensordict import TensorDict

from bupo.training.schedule import Phase

FIELDS = ("extra_fields", "entropy", "response_mask", "responses", "rollout_log_probs")
"""What is read of a batch for it; entropy and log-probs may be missing."""
NGRAM = 8
"""Tokens of the n-grams whose repetition is measured."""


def response_metrics(data: TensorDict, longest: int, ends: frozenset[int]) -> dict[str, float]:
    """What the responses look like.

    Args:
        data: the batch's `FIELDS`; ``responses`` nested, [batch, jagged] token ids.
        longest: ``data.max_response_length``.
        ends: ids of the tokens that end a response.

    Returns:
        ``bupo/repetition``: mean over the responses of `repetition`; ``bupo/truncated``: share of responses
        that were cut off; ``bupo/perplexity_full``: exp of the mean negative log-prob of the sampled tokens
        under the policy that sampled them; and ``reward/*``, the means of what the reward function told
        beside the score.
    """
    responses = [row.numpy() for row in data["responses"].unbind()]
    values = {
        "bupo/repetition": float(np.mean([repetition(row) for row in responses])),
        "bupo/truncated": float(
            np.mean([len(row) >= longest and int(row[-1]) not in ends for row in responses])
        ),
    }
    if "rollout_log_probs" in data:
        # capped: a number beyond any bound, and one that JSON holds
        mean = -data["rollout_log_probs"].values()[_mask(data)].mean().item()
        values["bupo/perplexity_full"] = math.exp(min(mean, 50.0))
    return values | _reward_details(list(data["extra_fields"]))


def repetition(tokens: NDArray[np.int64], n: int = NGRAM) -> float:
    """Share of a response's n-grams that were there before in it: 1 - distinct / all; 0 for a shorter one.

    Args:
        tokens: ids of one response, [T].
        n: length of an n-gram.
    """
    count = len(tokens) - n + 1
    if count < 1:
        return 0.0
    # one 64-bit number for each n-gram, by random odd factors: two of 10^4 agree by chance in 10^-11
    factors = np.random.default_rng(0).integers(1, 2**63, n, dtype=np.uint64) | np.uint64(1)
    ids = tokens.astype(np.uint64)
    hashes = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(factors):
        mixed = (ids[place : place + count] + np.uint64(1)) * factor
        hashes += mixed ^ (mixed >> np.uint64(29))
    return 1.0 - len(np.unique(hashes)) / count


def name_policies(metrics: dict[str, Any], data: TensorDict, phase: Phase) -> None:
    """Say of which policy a metric is: verl's names do not know that there are two.

    Entropy is in nats per generated token, averaged over all of them (paper); verl's ``actor/entropy`` is
    averaged as the loss is.
    """
    metrics.pop("actor/entropy", None)
    if "entropy" in data:
        name = "internal" if phase.layer else "full"
        metrics[f"bupo/entropy_{name}"] = data["entropy"].values()[_mask(data)].mean().item()
    if phase.layer is None:
        return
    # verl compares the policy that sampled with the trained one to find faults; in phase 1 these are two
    # policies
    metrics["bupo/kl_full_to_internal"] = metrics.get("rollout_corr/kl")
    for key in [key for key in metrics if key.startswith(("rollout_corr/", "training/rollout_"))]:
        del metrics[key]


def _mask(data: TensorDict) -> torch.Tensor:
    return data["response_mask"].values().bool()


def _reward_details(extras: Sequence[Any]) -> dict[str, float]:
    infos = [dict(extra.get("reward_extra_info", {})) for extra in extras]
    names = set.intersection(*(set(info) for info in infos)) - {"score", "acc"} if infos else set()
    numeric = [name for name in sorted(names) if all(isinstance(info[name], (int, float)) for info in infos)]
    return {f"reward/{name}": sum(float(info[name]) for info in infos) / len(infos) for name in numeric}

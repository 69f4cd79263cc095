"""What is measured of the policy that a step does not train (``bupo.observe``).

A step computes the entropy and the log-probs of the policy that it trains: pi_k in phase 1, pi afterwards.
The other one of the two is read by one more forward pass over some of the step's responses, so that both
entropies and the KL between them are there for every step. It changes nothing in what is trained.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.workers.utils.padding import response_from_nested

from bupo.policies import LayerIndex
from bupo.training.schedule import Phase, Schedule
from bupo.training.settings import ObserveSettings

COMPUTED = ("entropy", "log_probs")
"""Columns of a batch that verl computes for the policy that is named in it."""


def observed_phase(schedule: Schedule, phase: Phase, layers: int, settings: ObserveSettings) -> Phase | None:
    """The policy to read beside that of ``phase``, as a phase; None where there is none.

    Args:
        schedule: of the run.
        phase: of the step.
        layers: L of the model.
        settings: ``bupo.observe``.
    """
    if settings.responses == 0:
        return None
    if phase.layer is not None:
        return Phase(phase.number, None, None, phase.lens)
    if settings.layer is not None:
        return Phase(phase.number, LayerIndex(settings.layer, layers), None, phase.lens)
    internal = [one for one in schedule.phases if one.layer is not None]
    return internal[-1] if internal else None


def observed_keys(keys: Sequence[str], wanted: int, unit: int) -> list[str]:
    """The responses that are read: evenly spaced over those of a step.

    Args:
        keys: of the step's responses, in an order that repeats.
        wanted: how many, at least.
        unit: their number has to be a multiple of it; empty where there are fewer keys.
    """
    count = min(len(keys) // unit, ceil(wanted / unit)) * unit
    return [keys[place * len(keys) // count] for place in range(count)]


def observe(
    batch: KVBatchMeta, keys: list[str], phase: Phase, temperature: float, workers: Any
) -> dict[str, float]:
    """Entropy of the policy that the step does not train, and the KL between the two.

    D_KL(pi || pi_k) is the mean of log pi - log pi_k over the sampled tokens, which pi drew: unbiased.

    Args:
        batch: of the step, with the extra info that names the policy to read. verl leaves what it computes in
            the batch, under names that are the same for every policy: what was there is put back.
        keys: of the responses to read.
        phase: of the step; says which of the two is the full policy.
        temperature: of the rollouts, at which both policies are read.
        workers: verl's group of the actor's workers.
    """
    part = batch.select_keys(keys)
    part.extra_info.update(calculate_entropy=True, compute_loss=False, temperature=temperature)
    before = _columns(part, *COMPUTED)
    workers.compute_log_prob(part)
    data = _columns(part, *COMPUTED, "old_log_probs", "response_mask")
    tq.kv_batch_put(keys=part.keys, partition_id=part.partition_id, fields=before)
    mask = data["response_mask"].values().bool()
    entropy, log_probs = (
        response_from_nested(data[name], data["response_mask"]).values()[mask] for name in COMPUTED
    )
    ours = data["old_log_probs"].values()[mask]
    full, internal = (log_probs, ours) if phase.layer is not None else (ours, log_probs)
    name = "full" if phase.layer is not None else "internal"
    return {
        f"bupo/entropy_{name}": entropy.mean().item(),
        "bupo/kl_full_to_internal": (full - internal).mean().item(),
        "bupo/observed_responses": len(part),
    }


def _columns(part: KVBatchMeta, *fields: str) -> TensorDict:
    return tq.kv_batch_get(keys=part.keys, partition_id=part.partition_id, select_fields=list(fields))

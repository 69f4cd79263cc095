"""Batched sampling with a Hugging Face model, where a sample depends on its own name and on nothing else.

Each sample has a name, such as run seed, step, problem and sample number, and its random numbers come from a
counter-based generator keyed with that name. Which other samples are in the batch, and in what order, does
not matter, so that a resumed run draws what the uninterrupted one drew.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, PreTrainedModel

COMPACT_BELOW = 0.75
"""Finished rows leave the batch once the share of unfinished ones falls below this."""


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn; ``temperature`` 0 takes the most likely one."""

    max_new_tokens: int
    temperature: float
    eos_token_ids: frozenset[int]
    pad_token_id: int


@dataclass(frozen=True)
class Sample:
    """One response.

    Attributes:
        token_ids: generated tokens, with the end-of-sequence token where there is one.
        log_probs: of each token, at the temperature sampled with, nats.
        entropy: of the distributions that the tokens were drawn from, summed over the tokens, nats.
        finished: whether it ended itself; False means that it was cut at the length limit.
    """

    token_ids: list[int]
    log_probs: list[float]
    entropy: float
    finished: bool


def uniforms(names: Sequence[str], count: int) -> torch.Tensor:
    """Random numbers in [0, 1) for each named sample.

    Returns:
        Float64 tensor (names, count); a row depends on its name alone.
    """
    rows = [
        np.random.Generator(np.random.Philox(key=_key(name))).random(count, dtype=np.float64)
        for name in names
    ]
    return torch.from_numpy(np.stack(rows))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:16], "big")


@torch.inference_mode()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    names: Sequence[Sequence[str]],
    settings: SamplingSettings,
) -> list[list[Sample]]:
    """Responses to each prompt.

    Each prompt is read once, whatever the number of its samples.

    Args:
        model: a causal language model in evaluation mode.
        prompts: token ids of each prompt, not padded.
        names: for each prompt the names of its samples; all prompts have the same number of them.
        settings: how tokens are drawn.

    Returns:
        For each prompt its samples, in the order of ``names``.
    """
    n_samples = len(names[0])
    cache, position, logits = _prefill(model, prompts, settings.pad_token_id)
    mask = torch.tensor(
        [[0] * (int(position.max()) + 1 - len(p)) + [1] * len(p) for p in prompts], dtype=torch.long
    )
    if n_samples > 1:
        cache.batch_repeat_interleave(n_samples)
    rows = torch.arange(len(prompts)).repeat_interleave(n_samples)
    logits, mask, position = logits[rows], mask[rows], position[rows]
    random = uniforms([name for group in names for name in group], settings.max_new_tokens)

    total = len(rows)
    tokens = torch.full((total, settings.max_new_tokens), settings.pad_token_id)
    log_probs = torch.zeros(total, settings.max_new_tokens)
    entropies = torch.zeros(total)
    lengths = torch.full((total,), settings.max_new_tokens)
    ended = torch.zeros(total, dtype=torch.bool)
    alive = torch.arange(total)  # the rows of the result that the batch still holds
    eos = torch.tensor(sorted(settings.eos_token_ids))
    for step in range(settings.max_new_tokens):
        log_policy = torch.log_softmax(logits.float() / (settings.temperature or 1.0), dim=-1)
        token = _draw(log_policy, random[alive, step], settings.temperature)
        going = ~ended[alive]
        tokens[alive[going], step] = token[going]
        log_probs[alive[going], step] = log_policy.gather(-1, token[:, None])[going, 0]
        entropies[alive[going]] -= (log_policy.exp() * log_policy).sum(-1)[going]
        now = going & torch.isin(token, eos)
        lengths[alive[now]] = step + 1
        ended[alive[now]] = True
        left = ~ended[alive]
        if step + 1 == settings.max_new_tokens or not left.any():
            break
        if left.float().mean() < COMPACT_BELOW:
            keep = left.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            alive, token, mask, position = alive[keep], token[keep], mask[keep], position[keep]
        position = position + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        output = model(
            input_ids=token[:, None],
            attention_mask=mask,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
    rows_of = zip(
        tokens.tolist(), log_probs.tolist(), entropies.tolist(), lengths.tolist(), ended.tolist(), strict=True
    )
    samples = [
        Sample(ids[:length], values[:length], entropy, finished)
        for ids, values, entropy, length, finished in rows_of
    ]
    return [samples[start : start + n_samples] for start in range(0, total, n_samples)]


def _prefill(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad: int
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
    """Read left-padded prompts: cache, last position (P,), logits after the prompt (P, V)."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=DynamicCache(config=model.config),
        use_cache=True,
        logits_to_keep=1,
    )
    return output.past_key_values, positions[:, -1], output.logits[:, -1]


def _draw(log_policy: torch.Tensor, random: torch.Tensor, temperature: float) -> torch.Tensor:
    """One token a row, by inverting the cumulative distribution at ``random``; (B, V), (B,) -> (B,)."""
    if temperature == 0:
        return log_policy.argmax(-1)
    cumulative = log_policy.double().exp().cumsum(-1)
    scaled = random[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, scaled, right=True)[:, 0].clamp(max=log_policy.shape[-1] - 1)

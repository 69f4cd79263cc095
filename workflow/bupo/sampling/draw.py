"""Drawing tokens: a policy from logits, and its inverse cumulative distribution at a random number.

Shapes: B rows, V tokens of the vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def uniforms(keys: Sequence[int], count: int) -> Tensor:
    """Random numbers in [0, 1) of each key, from the counter-based generator Philox.

    Returns:
        Float64 (keys, count) on the CPU; a row depends on its key alone, and a longer row starts the same.
    """
    rows = [np.random.Generator(np.random.Philox(key=key)).random(count) for key in keys]
    return torch.from_numpy(np.stack(rows))


def log_policy(logits: Tensor, temperature: float, top_p: float = 1.0) -> Tensor:
    """Log-probabilities that tokens are drawn with, float32 (B, V); those outside the nucleus are -inf.

    At temperature 0 those of temperature 1, without top_p.
    """
    log_probs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
    if top_p == 1.0 or temperature == 0.0:
        return log_probs
    ordered, index = log_probs.double().exp().sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    outside = torch.zeros_like(before, dtype=torch.bool).scatter(-1, index, before >= top_p)
    return torch.log_softmax(log_probs.masked_fill(outside, -torch.inf), dim=-1)


def draw(log_probs: Tensor, random: Tensor, temperature: float) -> Tensor:
    """One token a row, (B,), by inverting the cumulative distribution at ``random`` (B,), in float64.

    A token of probability 0 is never drawn. At temperature 0 the most likely token.
    """
    if temperature == 0.0:
        return log_probs.argmax(-1)
    cumulative = log_probs.double().exp().cumsum(-1)
    scaled = random[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, scaled, right=True)[:, 0].clamp(max=log_probs.shape[-1] - 1)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy of each row, nats, (B,); tokens of probability 0 count nothing."""
    return -(log_probs.exp() * log_probs.clamp(min=torch.finfo(log_probs.dtype).min)).sum(-1)

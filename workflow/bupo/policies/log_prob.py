"""log pi(token) of a policy with its gradient, one tile of the vocabulary at a time."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bupo.policies.streaming import OnlineStatistics, product

WORKSPACE = 2**22  # logits at a time, 16 MiB in float32


class LogProb(NamedTuple):
    """log_prob [T], differentiable; entropy [T] in nats, without gradient."""

    log_prob: Tensor
    entropy: Tensor


def chunked_log_prob(
    states: Tensor,
    unembedding: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    tile: int | None = None,
) -> LogProb:
    """log softmax(states @ unembedding.T / temperature) at ``targets``; [T, V] never exists, nor in backward.

    Args:
        states: [T, d].
        unembedding: E_u, [V, d].
        targets: token ids, [T].
        temperature: divides the logits.
        tile: entries of the vocabulary at a time; by default so many that T times a tile fits the workspace.

    Raises:
        ValueError: shapes do not fit, a target lies outside the vocabulary, or the temperature is not
        positive.
    """
    vocabulary = unembedding.shape[0]
    if states.dim() != 2 or targets.shape != states.shape[:1] or unembedding.shape[1] != states.shape[1]:
        raise ValueError(
            f"states [T, d], unembedding [V, d] and targets [T] are needed, not {list(states.shape)}, "
            f"{list(unembedding.shape)} and {list(targets.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} is not positive")
    if targets.numel() and (int(targets.min()) < 0 or int(targets.max()) >= vocabulary):
        raise ValueError(f"a target lies outside the vocabulary of {vocabulary}")
    if tile is None:
        tile = min(vocabulary, max(256, WORKSPACE // max(1, targets.numel())))
    return LogProb(*_ChunkedLogProb.apply(states, unembedding, targets, temperature, tile))


class _ChunkedLogProb(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, temperature: float, tile: int
    ) -> Any:
        online = OnlineStatistics()
        for v in range(0, weight.shape[0], tile):
            online.update(product(states, weight[v : v + tile]).div_(temperature), tokens=targets)
        assert online.max is not None
        log_sum = online.log_sum
        ctx.save_for_backward(states, weight, targets, online.max, log_sum)
        ctx.temperature, ctx.tile = temperature, tile
        entropy = online.entropy
        ctx.mark_non_differentiable(entropy)
        # (x - max) - log sum, not x - (max + log sum): that keeps the digits where logits sit at an offset.
        return (online.picked - online.max) - log_sum, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _entropy: Tensor) -> Any:
        states, weight, targets, row_max, log_sum = ctx.saved_tensors
        scale = (gradient / ctx.temperature)[:, None]
        to_states = torch.zeros_like(states, dtype=row_max.dtype) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        for v in range(0, weight.shape[0], ctx.tile):
            part = weight[v : v + ctx.tile]
            logits = product(states, part).div_(ctx.temperature)
            # d log p(target) / d logits = onehot - p
            flow = logits.sub_(row_max[:, None]).sub_(log_sum[:, None]).exp_().mul_(-scale)
            rows = ((targets >= v) & (targets < v + ctx.tile)).nonzero()[:, 0]
            flow[rows, targets[rows] - v] += scale[rows, 0]
            flow = flow.to(states.dtype)
            if to_states is not None:
                to_states += flow @ part
            if to_weight is not None:
                to_weight[v : v + ctx.tile] = flow.T @ states
        return None if to_states is None else to_states.to(states.dtype), to_weight, None, None, None

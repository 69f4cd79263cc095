"""log pi(token) of a policy with its gradient, one tile of the vocabulary at a time."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bupo.policies.online import LEAST, NAT, capped
from bupo.policies.products import product
from bupo.policies.readout import CUDA, Readout

WORKSPACE = 2**20  # logits at a time on a CPU, 4 MiB in float32
FEWEST = 256  # entries of the vocabulary that a tile has, however many rows there are


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
    softcap: float | None = None,
) -> LogProb:
    """log softmax(softcap(states @ unembedding.T) / temperature) at ``targets``.

    [T, V] never exists, nor in backward, where the logits are made once more.

    Args:
        states: [T, d].
        unembedding: E_u, [V, d].
        targets: token ids, [T].
        temperature: divides the logits.
        tile: entries of the vocabulary at a time; by default so many that T times a tile fits the workspace.
        softcap: c of c tanh(logits / c), before the temperature.

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
    if targets.numel() and (int(targets.min()) < 0 or int(targets.max()) >= vocabulary):
        raise ValueError(f"a target lies outside the vocabulary of {vocabulary}")
    if tile is None:
        workspace = CUDA.workspace if unembedding.is_cuda else WORKSPACE
        tile = max(FEWEST, workspace // max(1, targets.numel()))
    readout = Readout(unembedding.detach(), temperature, softcap, tile=tile)
    return LogProb(*_ChunkedLogProb.apply(states, unembedding, targets, readout))


class _ChunkedLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, targets: Tensor, readout: Readout) -> Any:
        online = readout.statistics(len(states))
        rows = states.to(readout.operand)
        for first, factor in readout.tiles():
            online.update(slice(None), factor.times(rows), targets - first)
            online.advance()
        ctx.save_for_backward(states, weight, targets, online.max, online.log_sum / NAT)
        ctx.readout = readout
        entropy = online.entropy
        ctx.mark_non_differentiable(entropy)
        return online.log_prob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _entropy: Tensor) -> Any:
        states, weight, targets, peak, log_sum = ctx.saved_tensors
        readout: Readout = ctx.readout
        rows, factor_of_bits = states.to(readout.operand), 1 / (NAT * readout.temperature)
        scale = (gradient / readout.temperature)[:, None]
        to_states = torch.zeros_like(states, dtype=readout.wide) if ctx.needs_input_grad[0] else None
        to_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        for first, factor in readout.tiles():
            logits = capped(factor.times(rows), readout.softcap)
            here = slice(first, first + factor.columns)
            slope = None if readout.softcap is None else 1 - (logits / readout.softcap) ** 2
            # d log p(target) / d logits = onehot - p
            bits = logits.sub_(peak[:, None]).mul_(factor_of_bits).sub_(log_sum[:, None])
            flow = bits.clamp_min_(LEAST).exp2_().mul_(-scale)
            place = targets[:, None] - first
            inside = (place >= 0) & (place < factor.columns)
            flow.scatter_add_(1, place.clamp(0, factor.columns - 1), torch.where(inside, scale, 0))
            if slope is not None:
                flow.mul_(slope)
            flow = flow.to(readout.operand)
            if to_states is not None:
                to_states += product(flow, weight[here].T)
            if to_weight is not None:
                to_weight[here] = product(flow.T, rows.T)
        return None if to_states is None else to_states.to(states.dtype), to_weight, None, None

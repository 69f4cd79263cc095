"""D_KL of one policy to each of several others, streamed over the vocabulary."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from bupo.policies.online import LEAST, NAT, capped
from bupo.policies.products import Products
from bupo.policies.readout import Readout
from bupo.policies.streaming import blocks


@torch.no_grad()
def kl_to_each(
    states: Tensor,
    others: Tensor,
    unembedding: Tensor,
    temperature: float = 1.0,
    softcap: float | None = None,
    products: Products | None = None,
    tile: int | None = None,
    workspace: int | None = None,
) -> Tensor:
    """D_KL(policy || each other policy) in nats, [M, T]; the logits [T, V] never exist.

    Args:
        states: of the policy, [T, d].
        others: states of the others at the same positions, [M, T, d].
        unembedding: E_u, [V, d].
        temperature, softcap, products, tile, workspace: see `policy_statistics`.

    Raises:
        ValueError: shapes do not fit, the vocabulary is empty or the temperature is not positive.
    """
    if others.shape[1:] != states.shape:
        raise ValueError(
            f"states [T, d] and others [M, T, d] are needed, not {list(states.shape)} and "
            f"{list(others.shape)}"
        )
    readout = Readout(unembedding, temperature, softcap, products, tile, workspace)
    return stream_kl(
        readout,
        lambda here: torch.cat([states[None, here], others[:, here]]),
        (1 + others.shape[0], *states.shape),
    )


def stream_kl(readout: Readout, block_of: Callable[[slice], Tensor], shape: tuple[int, ...]) -> Tensor:
    """`kl_to_each` of the first of the states [1 + M, T, d] = ``shape`` to the rest.

    ``block_of`` gives the states, a few positions at a time.
    """
    count, length, width = shape
    tile, workspace, budget = readout.sizes
    if count == 1:
        return readout.weight.new_zeros(0, length, dtype=readout.wide)
    most = max(1, workspace // (tile * count))  # positions in one product
    bytes_each = count * width * readout.weight.element_size()
    room = readout.weight.new_empty(2, max(workspace, tile * count), dtype=readout.wide)
    columns = []
    for here in blocks(length, budget // bytes_each):
        block = block_of(here).to(readout.operand).transpose(0, 1)  # the policies of a position side by side
        rows, positions = block.reshape(-1, width), block.shape[0]
        pairs = _Pairs(positions, count, room[0], 1 / (NAT * readout.temperature))
        for _, factor in readout.tiles():
            for some in blocks(positions, most):
                logits = factor.times(rows[some.start * count : some.stop * count], room[0])
                logits = capped(logits, readout.softcap, logits).view(-1, count, factor.columns)
                pairs.update(some, logits, room[1])
        columns.append(pairs.kl)
    return torch.cat(columns).T


class _Pairs:
    """Running statistics of 1 + M policies at each position, of which the first is compared with each.

    With y = (x - max) f in bits of each policy (see `Online`): its own sum 2^y, and sum 2^(y of the first) y.
    """

    def __init__(self, positions: int, count: int, like: Tensor, factor: float) -> None:
        self.max = like.new_full((positions, count), -torch.inf)
        self.sum, self.cross = like.new_zeros(2, positions, count)
        self.factor = factor

    def update(self, some: slice, logits: Tensor, spare: Tensor) -> None:
        before, total, cross = self.max[some], self.sum[some], self.cross[some]
        peak = torch.maximum(before, logits.amax(-1))
        if logits.is_cuda:
            own, shared = _compiled()(logits, peak, self.factor)
        else:
            spare = spare[: logits.numel()].view(logits.shape)
            own, shared = pair_statistics(logits, peak, self.factor, logits, spare)
        # The maximum of any policy may have moved, and with that of the first the scale of all the sums with
        # it.
        move = ((before - peak) * self.factor).nan_to_num(neginf=0.0)
        scale = move.exp2()
        cross.copy_(scale[:, :1] * (cross + move * total[:, :1]) + shared)
        total.copy_(scale * total + own)
        before.copy_(peak)

    @property
    def kl(self) -> Tensor:
        """D_KL(first || each other), nats, [T, M]; rounding below zero is cut off."""
        log_p = self.cross / self.sum[:, :1] - self.sum.log2()  # the first's mean of log of each, in bits
        return ((log_p[:, :1] - log_p[:, 1:]) * NAT).clamp_min(0)


def pair_statistics(
    logits: Tensor, peak: Tensor, factor: float, into: Tensor | None = None, spare: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each policy's sum 2^y over a tile, and sum 2^(y of the first) y; see `tile_statistics`.

    Args:
        logits: [T, 1 + M, V_tile].
        peak: what is taken from the logits, [T, 1 + M].
        factor: f.
        into, spare: where results go, or None.
    """
    bits = torch.mul(torch.sub(logits, peak[..., None], out=into), factor, out=into)
    first = torch.exp2(torch.clamp(bits[:, :1], min=LEAST))
    shared = torch.mul(bits, first, out=spare).sum(-1)
    weights = torch.exp2(torch.clamp(bits, min=LEAST, out=into), out=spare)
    return weights.sum(-1), shared


@cache
def _compiled() -> Any:
    return torch.compile(pair_statistics, dynamic=True)

"""D_KL of one policy to each of several others, streamed over the vocabulary."""

from collections.abc import Callable

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
    fits = workspace // (tile * count), budget // (count * width * readout.weight.element_size())
    out = readout.buffer()
    columns = []
    for here in blocks(length, min(fits)):
        block = block_of(here).to(readout.operand)
        rows, positions = block.reshape(-1, width), block.shape[1]
        pair = _Pairs(count, positions, out)
        for _, factor in readout.tiles():
            room = out if out.numel() >= rows.shape[0] * factor.columns else None
            logits = factor.times(rows, room).view(count, positions, factor.columns)
            pair.update(capped(logits, readout.softcap, logits), 1 / (NAT * readout.temperature))
        columns.append(pair.kl)
    return torch.cat(columns, 1)


class _Pairs:
    """Running statistics of 1 + M policies, of which the first is compared with each.

    With y = (x - max) f in bits of each policy (see `Online`): its own sum 2^y, and sum 2^(y of the first) y.
    """

    def __init__(self, count: int, positions: int, like: Tensor) -> None:
        self.max = like.new_full((count, positions), -torch.inf)
        self.sum = like.new_zeros(count, positions)
        self.cross = like.new_zeros(count, positions)

    def update(self, logits: Tensor, factor: float) -> None:
        higher = torch.maximum(self.max, logits.amax(-1))
        move = ((self.max - higher) * factor).nan_to_num(neginf=0.0)
        scale = move.exp2()
        bits = logits.sub_(higher[..., None]).mul_(factor)
        first = bits[0].clamp_min(LEAST).exp2()
        # Each policy's own maximum may move as well as that of the first: both are made good in the sum so
        # far.
        cross = torch.stack([torch.linalg.vecdot(first, each) for each in bits])
        self.cross = scale[0] * (self.cross + move * self.sum[0]) + cross
        self.sum = scale * self.sum + bits.clamp_min_(LEAST).exp2_().sum(-1)
        self.max = higher

    @property
    def kl(self) -> Tensor:
        """D_KL(first || each other), nats, [M, T]; rounding below zero is cut off."""
        log_p = self.cross / self.sum[0] - self.sum.log2()  # the first policy's mean of log of each, in bits
        return ((log_p[0] - log_p[1:]) * NAT).clamp_min(0)

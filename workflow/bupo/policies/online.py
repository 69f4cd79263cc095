"""Statistics of rows of logits that come one tile of the vocabulary after the other.

For logits x and f = log2(e) / temperature three numbers a row are kept: the running maximum m, s = sum 2^y
and a = sum y 2^y with y = (x - m) f. Then H = (log2 s - a / s) ln 2. Shifting by m inside ``a`` too is what
keeps the digits: the usual log-sum-exp less mean loses three of them where the logits sit at a large offset.
Powers of two, because exp2 is several times faster than exp on a CPU, and because the temperature is then
free.
"""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

NAT = math.log(2)  # of one bit
# Bits below the maximum. 2^-100 of the largest term is nothing beside rounding, in float64 and for any
# vocabulary, and what lies below 2^-126 would be denormal numbers, which take a CPU a hundred times as long.
LEAST = -100.0
PLACES = 16  # tiles that are merged together


class Online:
    """Running statistics of rows, each tensor of the ``shape`` of the rows.

    A tile's own statistics go into a place of their own, and a few tiles at a time are merged.

    Attributes:
        picked: the logit of one token for each row.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        like: Tensor,
        temperature: float = 1.0,
        softcap: float | None = None,
        spare: Tensor | None = None,
    ) -> None:
        """Start before the first tile.

        Args:
            shape: of the rows.
            like: a tensor of the device and type of the statistics.
            temperature: divides the logits.
            softcap: c of c tanh(logits / c), applied before the temperature.
            spare: memory as large as a tile, for what is worked out of it.
        """
        self.factor, self.softcap, self.spare = 1 / (NAT * temperature), softcap, spare
        self._tiles = like.new_zeros(4, PLACES, *shape)  # max, sum, shifted, cross
        self._filled = 0
        self.picked = like.new_zeros(shape)

    def update(
        self,
        here: slice,
        logits: Tensor,
        place: Tensor | None = None,
        compared: Tensor | None = None,
    ) -> None:
        """Take in a tile of some rows; its memory is overwritten.

        Args:
            here: which rows, along the first dimension of the ``shape``.
            logits: [*rows, V_tile], float32 or float64.
            place: where in this tile the token is whose logit is kept; it may lie outside. [*last dimension].
            compared: see `Online.bits`, [*last dimension, V_tile].
        """
        logits = capped(logits, self.softcap, logits)
        if place is not None:
            inside = (place >= 0) & (place < logits.shape[-1])
            column = place.clamp(0, logits.shape[-1] - 1).expand(logits.shape[:-1])
            found = logits.gather(-1, column[..., None])[..., 0]
            self.picked[here] = torch.where(inside, found, self.picked[here])
        if logits.is_cuda:
            statistics = _compiled()(logits, self.factor, compared)
        else:
            spare = None if self.spare is None else self.spare[: logits.numel()].view(logits.shape)
            statistics = tile_statistics(logits, self.factor, compared, logits, spare)
        for kept, found in zip(self._tiles, statistics, strict=False):
            kept[self._filled, here] = found

    def advance(self) -> None:
        """The tile is done for all rows; the next begins."""
        self._filled += 1
        if self._filled == PLACES:
            self._merge()

    def bits(self, logits: Tensor, peak: Tensor) -> Tensor:
        """(x - peak) f of a tile, in place."""
        return capped(logits, self.softcap, logits).sub_(peak[..., None]).mul_(self.factor)

    def _merge(self) -> None:
        peak, total, shifted, cross = self._tiles[:, : self._filled]
        highest = peak.amax(0)
        move = (peak - highest) * self.factor
        scale = move.exp2()
        merged = (scale * total, scale * (shifted + move * total), scale * cross)
        self._tiles[0, 0] = highest
        for kept, each in zip(self._tiles[1:], merged, strict=True):
            kept[0] = each.sum(0)
        self._filled = 1

    def _merged(self, index: int) -> Tensor:
        if self._filled > 1:
            self._merge()
        return self._tiles[index, 0]

    @property
    def max(self) -> Tensor:
        """m, the largest logit."""
        return self._merged(0)

    @property
    def sum(self) -> Tensor:
        """s = sum 2^y."""
        return self._merged(1)

    @property
    def mean_cross(self) -> Tensor:
        """The policy's mean of what it is compared with, nats."""
        return self._merged(3) / self.sum * NAT

    @property
    def log_sum(self) -> Tensor:
        """log sum e^((x - max) / temperature), nats."""
        return self.sum.log2() * NAT

    @property
    def mean_shifted(self) -> Tensor:
        """The policy's mean of (x - max) / temperature, nats."""
        return self._merged(2) / self.sum * NAT

    @property
    def entropy(self) -> Tensor:
        """H in nats; rounding below zero is cut off."""
        return (self.log_sum - self.mean_shifted).clamp_min(0)

    @property
    def log_prob(self) -> Tensor:
        """log of the probability of the token that was picked, nats."""
        # (x - max) - log sum, not x - (max + log sum): that keeps the digits where logits sit at an offset.
        return (self.picked - self.max) * (self.factor * NAT) - self.log_sum


def capped(logits: Tensor, softcap: float | None, into: Tensor | None = None) -> Tensor:
    """``softcap * tanh(logits / softcap)``."""
    if softcap is None:
        return logits
    return torch.mul(torch.tanh(torch.div(logits, softcap, out=into), out=into), softcap, out=into)


def tile_statistics(
    logits: Tensor,
    factor: float,
    compared: Tensor | None = None,
    into: Tensor | None = None,
    spare: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """m, s, a and, where it is asked for, sum 2^y z of the rows of a tile.

    Args:
        logits: [..., V_tile].
        factor: f.
        compared: z, of a shape that goes with that of the logits.
        into, spare: where results go, the logits themselves and memory as large: a few passes over what stays
            in a core's cache. Both are None where this is compiled, and the passes become one kernel.
    """
    peak = logits.amax(-1)
    bits = torch.mul(torch.sub(logits, peak[..., None], out=into), factor, out=into)
    bits = torch.clamp(bits, min=LEAST, out=into)
    weights = torch.exp2(bits, out=spare)
    first = peak, weights.sum(-1), torch.mul(bits, weights, out=into).sum(-1)
    return first if compared is None else (*first, torch.mul(weights, compared, out=spare).sum(-1))


@cache
def _compiled() -> Any:
    return torch.compile(tile_statistics, dynamic=True)

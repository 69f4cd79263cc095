"""Entropy, KL and top-1 of policies in one pass over the vocabulary; the logits [T, V] never exist.

For logits x in a tile of the vocabulary three numbers a row are kept: the running maximum m, s = sum e^(x-m)
and a = sum (x-m) e^(x-m). Then H = log s - a/s. Shifting by m inside ``a`` too is what keeps the digits: the
usual log-sum-exp minus mean form loses three of them where the logits sit at a large offset.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

VOCABULARY_TILE = 2048
WORKSPACE = 2**20  # logits at a time, 4 MiB in float32: about what a cache holds


@dataclass(frozen=True)
class PolicyStatistics:
    """Statistics of S policies at T positions, each [S, T]; the last two only where a reference was given.

    Attributes:
        entropy: nats.
        kl: D_KL(policy || reference), nats.
        top1: whether the reference's most likely token is (one of) the policy's.
    """

    entropy: Tensor
    kl: Tensor | None = None
    top1: Tensor | None = None


def product(states: Tensor, weight: Tensor) -> Tensor:
    """Logits ``states @ weight.T`` in float32 or wider: bf16 inputs are fine, bf16 logits lose two digits."""
    if states.dtype not in (torch.bfloat16, torch.float16):
        return states @ weight.T
    if states.is_cuda:
        return torch.mm(states, weight.T, out_dtype=torch.float32)
    return states.float() @ weight.T.float()


class OnlineStatistics:
    """Statistics of rows of logits that come tile by tile; shape of a tile [..., N, V_tile]."""

    def __init__(self) -> None:
        """Start before the first tile."""
        self.max: Tensor | None = None
        self.sum: Tensor
        self.shifted: Tensor
        self.cross: Tensor
        self.picked: Tensor
        self.seen = 0

    def update(self, logits: Tensor, reference: Tensor | None = None, tokens: Tensor | None = None) -> None:
        """Take in a tile; its memory is overwritten.

        Args:
            logits: [..., N, V_tile], float32 or float64.
            reference: the same tile of a reference's logits less their maximum, [N, V_tile].
            tokens: also keep the logits of these tokens, one for each row, [N].
        """
        if tokens is not None:
            self._pick(logits, tokens)
        tile_max = logits.amax(-1)
        shifted = logits.sub_(
            (tile_max if self.max is None else torch.maximum(self.max, tile_max))[..., None]
        )
        weights = shifted.exp()
        total, first = weights.sum(-1), torch.linalg.vecdot(weights, shifted)
        cross = None if reference is None else torch.linalg.vecdot(weights, reference)
        if self.max is None:
            self.max, self.sum, self.shifted = tile_max, total, first
            if cross is not None:
                self.cross = cross
        else:
            fresh = torch.maximum(self.max, tile_max)
            move = self.max - fresh
            scale = move.exp()
            self.shifted = scale * (self.shifted + move * self.sum) + first
            self.sum = scale * self.sum + total
            if cross is not None:
                self.cross = scale * self.cross + cross
            self.max = fresh
        self.seen += logits.shape[-1]

    def _pick(self, logits: Tensor, tokens: Tensor) -> None:
        place = tokens - self.seen
        here = place.clamp(0, logits.shape[-1] - 1).expand(logits.shape[:-1])[..., None]
        found = logits.gather(-1, here)[..., 0]
        inside = (place >= 0) & (place < logits.shape[-1])
        self.picked = found if self.max is None else torch.where(inside, found, self.picked)

    @property
    def log_sum(self) -> Tensor:
        """log sum e^(x - max)."""
        return self.sum.log()

    @property
    def entropy(self) -> Tensor:
        """H in nats; rounding below zero is cut off."""
        return (self.log_sum - self.shifted / self.sum).clamp_min(0)


@dataclass(frozen=True)
class Reference:
    """The policy that others are compared with: states [T, d] and what one pass over them gave, [T] each."""

    states: Tensor
    max: Tensor
    log_sum: Tensor
    top: Tensor
    entropy: Tensor


@torch.no_grad()
def make_reference(
    states: Tensor, unembedding: Tensor, temperature: float = 1.0, tile: int = VOCABULARY_TILE
) -> Reference:
    """One pass over the reference policy; ``states`` [T, d], ``unembedding`` [V, d]."""
    rows = max(1, WORKSPACE // min(tile, unembedding.shape[0]))
    columns: list[tuple[Tensor, ...]] = []
    for start in range(0, states.shape[0], rows):
        online = OnlineStatistics()
        top: Tensor | None = None
        for v in range(0, unembedding.shape[0], tile):
            logits = _logits(states[start : start + rows], unembedding[v : v + tile], temperature)
            best, index = logits.max(-1)
            top = (
                index if top is None or online.max is None else torch.where(best > online.max, index + v, top)
            )
            online.update(logits)
        assert online.max is not None and top is not None
        columns.append((online.max, online.log_sum, top, online.entropy))
    return Reference(states, *(torch.cat(column) for column in zip(*columns, strict=True)))


@torch.no_grad()
def policy_statistics(
    states: Tensor,
    unembedding: Tensor,
    reference: Reference | None = None,
    temperature: float = 1.0,
    tile: int = VOCABULARY_TILE,
    workspace: int = WORKSPACE,
) -> PolicyStatistics:
    """Statistics of softmax(states @ unembedding.T / temperature), with one stacked product for each tile.

    Args:
        states: [S, T, d].
        unembedding: E_u, [V, d].
        reference: the policy to compare with, over the same T positions.
        temperature: divides the logits.
        tile: entries of the vocabulary at a time.
        workspace: most logits held at a time.

    Returns:
        `PolicyStatistics`, float32 (float64 for float64 states).

    Raises:
        ValueError: the vocabulary is empty or the temperature is not positive.
    """
    vocabulary = unembedding.shape[0]
    if vocabulary == 0 or not temperature > 0:
        raise ValueError(f"a vocabulary ({vocabulary}) and a positive temperature ({temperature}) are needed")
    count, length, width = states.shape
    tokens = max(1, workspace // (min(tile, vocabulary) * count))
    results: list[tuple[Tensor, ...]] = []
    for start in range(0, length, tokens):
        block = states[:, start : start + tokens]
        here = slice(start, start + block.shape[1])
        rows = block.reshape(-1, width)
        online = OnlineStatistics()
        for v in range(0, vocabulary, tile):
            weight = unembedding[v : v + tile]
            logits = _logits(rows, weight, temperature).view(count, block.shape[1], -1)
            if reference is None:
                online.update(logits)
                continue
            compared = _logits(reference.states[here], weight, temperature)
            online.update(logits, compared.sub_(reference.max[here, None]), reference.top[here])
        if reference is None:
            results.append((online.entropy,))
            continue
        mean_log_p = online.shifted / online.sum - online.log_sum
        mean_log_q = online.cross / online.sum - reference.log_sum[here]
        assert online.max is not None
        kl = (mean_log_p - mean_log_q).clamp_min(0)
        results.append((online.entropy, kl, online.picked == online.max))
    return PolicyStatistics(*(torch.cat(column, 1) for column in zip(*results, strict=True)))


def _logits(states: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = product(states, weight)
    return logits if temperature == 1.0 else logits.div_(temperature)

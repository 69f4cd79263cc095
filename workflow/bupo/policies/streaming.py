"""Entropy, KL and top-1 of policies in one pass over the vocabulary; the logits [T, V] never exist.

The order is: a few positions of all policies, then the tiles of the vocabulary, then as many policies as the
workspace holds. So a tile of the unembedding is made ready once for all policies, and the logits of the
policy that they are compared with are made once for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from bupo.policies.online import Online
from bupo.policies.products import Products
from bupo.policies.readout import Readout


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


@dataclass(frozen=True)
class Reference:
    """The policy that others are compared with.

    Attributes:
        states: [T, d].
        max: the largest logit, [T].
        log_sum: log sum e^((x - max) / temperature), nats, [T].
        top: its most likely token, [T].
        entropy: nats, [T].
        log_prob: of the tokens that were asked for, nats, [T]; else None.
    """

    states: Tensor
    max: Tensor
    log_sum: Tensor
    top: Tensor
    entropy: Tensor
    log_prob: Tensor | None


@torch.no_grad()
def make_reference(
    states: Tensor,
    unembedding: Tensor,
    temperature: float = 1.0,
    tile: int | None = None,
    softcap: float | None = None,
    tokens: Tensor | None = None,
    products: Products | None = None,
) -> Reference:
    """One pass over the reference policy.

    Args:
        states: [T, d].
        unembedding: E_u, [V, d].
        temperature: divides the logits.
        tile: entries of the vocabulary at a time; None: what suits the device.
        softcap: c of c tanh(logits / c), before the temperature.
        tokens: token ids whose log-probabilities are wanted, [T].
        products: see `policy_statistics`.

    Raises:
        ValueError: the vocabulary is empty, the temperature is not positive, or a token is not in the
        vocabulary.
    """
    readout = Readout(unembedding, temperature, softcap, products, tile)
    if tokens is not None and not ((tokens >= 0) & (tokens < readout.vocabulary)).all():
        raise ValueError(f"a token lies outside the vocabulary of {readout.vocabulary}")
    out, spare = readout.buffer(), readout.spare()
    length = states.shape[0]
    peak, log_sum, entropy, log_prob = states.new_empty(4, length, dtype=readout.wide)
    tops = states.new_zeros(length, dtype=torch.long)
    for here in blocks(length, readout.sizes.workspace // readout.sizes.tile):
        rows, top = states[here].to(readout.operand), tops[here]
        online = readout.statistics(len(rows), spare=spare)
        best = online.picked.new_full((len(rows),), -torch.inf)
        for first, factor in readout.tiles():
            logits = factor.times(rows, out)
            highest, column = logits.max(-1)
            top.copy_(torch.where(highest > best, column + first, top))
            best = torch.maximum(best, highest)
            online.update(slice(None), logits, None if tokens is None else tokens[here] - first)
            online.advance()
        peak[here], log_sum[here] = online.max, online.log_sum
        entropy[here], log_prob[here] = online.entropy, online.log_prob
    return Reference(states, peak, log_sum, tops, entropy, None if tokens is None else log_prob)


@torch.no_grad()
def policy_statistics(
    states: Tensor,
    unembedding: Tensor,
    reference: Reference | None = None,
    temperature: float = 1.0,
    tile: int | None = None,
    workspace: int | None = None,
    softcap: float | None = None,
    products: Products | None = None,
) -> PolicyStatistics:
    """Statistics of softmax(softcap(states @ unembedding.T) / temperature).

    Args:
        states: [S, T, d].
        unembedding: E_u, [V, d].
        reference: the policy to compare with, over the same T positions, read in the same way.
        temperature: divides the logits.
        tile: entries of the vocabulary at a time; None: what suits the device.
        workspace: most logits held at a time; likewise.
        softcap: c of c tanh(logits / c), before the temperature.
        products: what states and unembedding are rounded to before they are multiplied; None: the
            unembedding's own type. Logits, sums and results are float32 all the same.

    Returns:
        `PolicyStatistics`, float32 (float64 for float64 states).

    Raises:
        ValueError: the vocabulary is empty or the temperature is not positive.
    """
    readout = Readout(unembedding, temperature, softcap, products, tile, workspace)
    return stream(readout, lambda here: states[:, here], states.shape, reference)


def stream(
    readout: Readout,
    block_of: Callable[[slice], Tensor],
    shape: tuple[int, ...],
    reference: Reference | None = None,
) -> PolicyStatistics:
    """`policy_statistics` of states [S, T, d] = ``shape``; ``block_of`` gives a few positions of them."""
    count, length, width = shape
    tile, workspace, budget = readout.sizes
    bytes_each = count * width * readout.weight.element_size()
    out, spare = readout.buffer(), readout.spare()
    other = None if reference is None else readout.buffer()
    # written into as they come: kept apart until the end, they would be there twice
    entropy = readout.weight.new_empty(count, length, dtype=readout.wide)
    results = (
        (entropy,)
        if reference is None
        else (entropy, torch.empty_like(entropy), torch.empty_like(entropy, dtype=torch.bool))
    )
    for here in blocks(length, min(workspace // tile, budget // bytes_each)):
        block = block_of(here).to(readout.operand)
        rows, positions = block.reshape(-1, width), block.shape[1]
        compared = place = None
        final = rows[:0] if reference is None else reference.states[here].to(readout.operand)
        online = readout.statistics(count, positions, spare=spare)
        for first, factor in readout.tiles():
            if reference is not None:
                place = reference.top[here] - first
                compared = online.bits(factor.times(final, other), reference.max[here])
            for some in blocks(count, workspace // (tile * positions)):
                logits = factor.times(rows[some.start * positions : some.stop * positions], out)
                online.update(some, logits.view(-1, positions, factor.columns), place, compared)
            online.advance()
        found = _statistics(online, None if reference is None else reference.log_sum[here])
        for whole, part in zip(results, found, strict=True):
            whole[:, here] = part
    return PolicyStatistics(*results)


def blocks(length: int, most: int) -> list[slice]:
    """0..length in as few blocks of at most ``most`` as will do, as even as can be; at least one."""
    count = max(1, -(-length // max(1, most)))
    ends = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _statistics(online: Online, log_sum: Tensor | None) -> tuple[Tensor, ...]:
    if log_sum is None:
        return (online.entropy,)
    mean_log_p = online.mean_shifted - online.log_sum
    mean_log_q = online.mean_cross - log_sum
    return online.entropy, (mean_log_p - mean_log_q).clamp_min(0), online.picked == online.max

"""What is measured at each position of a response, as rows of one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bupo.policies import PARTS, ByPolicy, InternalPolicies, Lens


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        quantity: ``entropy``, ``entropy_change``, ``kl_to_final``, ``kl_to_later`` and ``nll`` (nats),
        ``top1_agreement``, ``cosine``, ``cosine_to_later``, ``norm``.
        policy: ``embedding``, one of `PARTS`, or ``final``.
        layer: 1..L, 0 for the embedding, L for the final policy.
        lens: ``raw`` or ``final_norm``; the final policy is always ``final_norm``, cosines and norms ``raw``.
        anchor: the layer k that a later layer is compared with, None for what compares no pair of layers.
    """

    quantity: str
    policy: str
    layer: int
    lens: str
    anchor: int | None = None


def measure(
    policies: InternalPolicies,
    states: ByPolicy,
    tokens: Tensor,
    lenses: Sequence[Lens],
    temperature: float = 1.0,
    anchors: Sequence[int] = (),
) -> tuple[list[Row], Tensor]:
    """Every quantity at every position of ``states``.

    Entropy changes are the paper's: for a layer H(H^l) - H(H^{l-1}); for attention and FFN the output's
    entropy less that of the module's *normed* input. Through ``final_norm`` both sides go through the final
    norm first. Cosines are cos(A^l, H^{l-1}) and cos(F^l, H^{l-1} + A^l); norms are Euclidean; ``nll`` is
    -log of the final policy's probability of the token. For each anchor k and every later layer m:
    cos(H^k, H^m) and D_KL(pi^k || pi^m).

    Args:
        tokens: the token that each position predicts, [T].
        anchors: layers, counted from 1.

    Returns:
        The rows, and their values [R, T].
    """
    table = _Table(policies.total)
    readings = policies.read(states, lenses, temperature, tokens=tokens)
    for lens, reading in readings.items():
        entropy = reading.entropy
        table.add_all("entropy", lens, entropy)
        below = torch.cat([entropy.embedding[None], entropy.all("layer")[:-1]])
        table.add("entropy_change", "layer", lens, entropy.all("layer") - below)
        table.add(
            "entropy_change", "attention", lens, entropy.all("attention") - entropy.all("attention_input")
        )
        table.add("entropy_change", "ffn", lens, entropy.all("ffn") - entropy.all("ffn_input"))
        assert reading.kl_to_final is not None and reading.top1_agreement is not None
        table.add_all("kl_to_final", lens, reading.kl_to_final)
        table.add_all("top1_agreement", lens, reading.top1_agreement)
    final = readings[lenses[0]]
    assert final.final_log_prob is not None
    table.add_final("entropy", final.entropy.final)
    table.add_final("nll", -final.final_log_prob)
    cosines = zip(*_residual_cosines(states), strict=True)
    for policy, values in zip(("attention", "ffn"), cosines, strict=True):
        table.add("cosine", policy, "raw", torch.stack(values))
    wide = torch.promote_types(states.parts.dtype, torch.float32)
    norms = states.map(lambda x: torch.linalg.vector_norm(x, dim=-1, dtype=wide))
    table.add_all("norm", "raw", norms)
    table.add_final("norm", norms.final)
    for anchor in anchors:
        if anchor == policies.total:
            continue  # no layer is later
        here, later = states.of("layer", anchor), states.all("layer")[anchor:]
        cosine = torch.stack([_cosine(here, each) for each in later])
        table.add("cosine_to_later", "layer", "raw", cosine, anchor + 1, anchor)
        for lens in lenses:
            kl = policies.kl_to_later(states, anchor, lens, temperature)
            table.add("kl_to_later", "layer", lens, kl, anchor + 1, anchor)
    return table.rows, torch.cat(table.values)


def _residual_cosines(states: ByPolicy) -> Iterator[tuple[Tensor, Tensor]]:
    """cos(A^l, H^{l-1}) and cos(F^l, H^{l-1} + A^l) of each layer, [T] each, one layer at a time."""
    below = states.embedding
    for layer in range(1, states.total + 1):
        attention, ffn = states.of("attention", layer), states.of("ffn", layer)
        wide = torch.promote_types(below.dtype, torch.float32)
        yield _cosine(attention, below), _cosine(ffn, below.to(wide) + attention.to(wide))
        below = states.of("layer", layer)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    wide = torch.promote_types(first.dtype, torch.float32)
    return functional.cosine_similarity(first.to(wide), second.to(wide), -1)


class _Table:
    def __init__(self, total: int) -> None:
        self.total = total
        self.rows: list[Row] = []
        self.values: list[Tensor] = []

    def add(
        self,
        quantity: str,
        policy: str,
        lens: str,
        values: Tensor,
        first: int = 1,
        anchor: int | None = None,
    ) -> None:
        """Rows for consecutive layers from ``first`` on; ``values`` is [layers, T]."""
        self.rows += [Row(quantity, policy, first + i, lens, anchor) for i in range(values.shape[0])]
        self.values.append(values)

    def add_all(self, quantity: str, lens: str, values: ByPolicy) -> None:
        """Rows for the embedding and for every part of every layer."""
        self.add(quantity, "embedding", lens, values.embedding[None], first=0)
        for policy in PARTS:
            self.add(quantity, policy, lens, values.all(policy))

    def add_final(self, quantity: str, values: Tensor) -> None:
        """The row of the final policy; ``values`` is [T]."""
        self.add(quantity, "final", "final_norm", values[None], first=self.total)

"""What is measured at each position of a response, as rows of one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bupo.policies import PARTS, ByPolicy, InternalPolicies, Lens


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        quantity: ``entropy``, ``entropy_change`` and ``kl_to_final`` (nats), ``top1_agreement``, ``cosine``,
        ``norm``. policy: ``embedding``, one of `PARTS`, or ``final``. layer: 1..L, 0 for the embedding, L for
        the final policy. lens: ``raw`` or ``final_norm``; the final policy is always ``final_norm``, cosines
        and norms ``raw``.
    """

    quantity: str
    policy: str
    layer: int
    lens: str


def measure(
    policies: InternalPolicies, states: ByPolicy, lenses: Sequence[Lens], temperature: float = 1.0
) -> tuple[list[Row], Tensor]:
    """Every quantity at every position of ``states``.

    Entropy changes are the paper's: for a layer H(H^l) - H(H^{l-1}); for attention and FFN the output's
    entropy less that of the module's *normed* input. Through ``final_norm`` both sides go through the final
    norm first. Cosines are cos(A^l, H^{l-1}) and cos(F^l, H^{l-1} + A^l); norms are Euclidean.

    Returns:
        The rows, and their values [R, T].
    """
    table = _Table(policies.total)
    for lens, reading in policies.read(states, lenses, temperature).items():
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
    table.add("entropy", "final", "final_norm", entropy.final[None], first=policies.total)
    wide = torch.promote_types(states.parts.dtype, torch.float32)
    below = torch.cat([states.embedding[None], states.all("layer")[:-1]]).to(wide)
    attention, ffn = states.all("attention").to(wide), states.all("ffn").to(wide)
    table.add("cosine", "attention", "raw", functional.cosine_similarity(attention, below, -1))
    table.add("cosine", "ffn", "raw", functional.cosine_similarity(ffn, below + attention, -1))
    norms = states.map(lambda x: torch.linalg.vector_norm(x, dim=-1, dtype=wide))
    table.add_all("norm", "raw", norms)
    table.add("norm", "final", "final_norm", norms.final[None], first=policies.total)
    return table.rows, torch.cat(table.values)


class _Table:
    def __init__(self, total: int) -> None:
        self.total = total
        self.rows: list[Row] = []
        self.values: list[Tensor] = []

    def add(self, quantity: str, policy: str, lens: str, values: Tensor, first: int = 1) -> None:
        """Rows for consecutive layers; ``values`` is [layers, T]."""
        self.rows += [Row(quantity, policy, first + i, lens) for i in range(values.shape[0])]
        self.values.append(values)

    def add_all(self, quantity: str, lens: str, values: ByPolicy) -> None:
        """Rows for the embedding and for every part of every layer."""
        self.add(quantity, "embedding", lens, values.embedding[None], first=0)
        for policy in PARTS:
            self.add(quantity, policy, lens, values.all(policy))

"""One tensor for each policy of a decoder: its states, their entropies, or anything else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bupo.policies.layers import LayerIndex

Part = Literal["attention_input", "attention", "ffn_input", "ffn", "layer"]
PARTS: tuple[Part, ...] = ("attention_input", "attention", "ffn_input", "ffn", "layer")


@dataclass(frozen=True)
class ByPolicy:
    """What is known of each of the 5L + 2 distinct states of an L-layer decoder.

    A layer's input is the output of the layer below, so that it is held once: ``embedding`` is H^0, and the
    parts of layer l are attention's normed input, A^l, the FFN's normed input, F^l and H^l.

    Attributes:
        embedding: [T, ...].
        parts: [L, 5, T, ...] in the order of `PARTS`.
        final: [T, ...], H^L after the final norm.
    """

    embedding: Tensor
    parts: Tensor
    final: Tensor

    @property
    def total(self) -> int:
        """L."""
        return self.parts.shape[0]

    def of(self, policy: Part, layer: int | LayerIndex) -> Tensor:
        """The tensor of one policy, [T, ...]; layers are counted from 1.

        Raises:
            ValueError: there is no such layer or policy.
        """
        index = layer if isinstance(layer, LayerIndex) else LayerIndex(layer, self.total)
        if index.total != self.total:
            raise ValueError(f"{index} was asked of a model with {self.total} layers")
        return self.all(policy)[index.zero_based]

    def all(self, policy: Part) -> Tensor:
        """The tensors of one policy at every layer, [L, T, ...]."""
        if policy not in PARTS:
            raise ValueError(f"policy {policy!r} is unknown: choose from {', '.join(PARTS)}")
        return self.parts[:, PARTS.index(policy)]

    def map(self, function: Callable[[Tensor], Tensor]) -> "ByPolicy":
        """``function`` of each tensor, whose leading dimensions it must keep."""
        return ByPolicy(function(self.embedding), function(self.parts), function(self.final))

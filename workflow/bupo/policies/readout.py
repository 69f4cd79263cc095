"""How states become logits, and how many of them at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bupo.policies.online import Online
from bupo.policies.products import Factor, Products


class Sizes(NamedTuple):
    """How much is held at a time.

    Attributes:
        tile: entries of the vocabulary.
        workspace: logits (there are two or three such workspaces).
        states: bytes of states that are copied together for one pass over the vocabulary.
    """

    tile: int
    workspace: int
    states: int


# A core's second-level cache holds a MiB: the logits of 256 rows.
CPU = Sizes(tile=2**10, workspace=2**18, states=2**24)
# Enough rows and columns for the tensor cores. Each logit is written and read once, 8 bytes, beside 2 d
# operations: with d = 2560, 790 TFLOP/s and 4.3 TB/s, 1.9 ps beside 6.5 ps, so about 1.3 times the products
# alone. A kernel that keeps the logits on the chip would save that third; it is not worth its code below 1.5.
CUDA = Sizes(tile=2**13, workspace=2**26, states=2**29)


@dataclass(frozen=True)
class Readout:
    """softmax(softcap(states @ weight.T) / temperature), one tile of the vocabulary at a time.

    Attributes:
        weight: the unembedding E_u, [V, d].
        temperature: divides the logits.
        softcap: c of c tanh(logits / c), before the temperature; None: there is none.
        products: what states and weight are rounded to before they are multiplied, with a float32 result;
            None: the weight's own type.
        tile, workspace: as in `Sizes`; None: what suits the device.

    Raises:
        ValueError: the vocabulary is empty or the temperature is not positive.
    """

    weight: Tensor
    temperature: float = 1.0
    softcap: float | None = None
    products: Products | None = None
    tile: int | None = None
    workspace: int | None = None

    def __post_init__(self) -> None:
        """Refuse what gives no policy."""
        if self.vocabulary == 0 or not self.temperature > 0:
            raise ValueError(
                f"a vocabulary ({self.vocabulary}) and a positive temperature ({self.temperature}) are needed"
            )

    @property
    def vocabulary(self) -> int:
        """V."""
        return self.weight.shape[0]

    @property
    def sizes(self) -> Sizes:
        """How much is held at a time."""
        cuda = self.weight.is_cuda
        best = CUDA if cuda else CPU
        workspace = best.workspace * (1 if cuda else torch.get_num_threads())
        tile = min(self.tile or best.tile, self.vocabulary)
        return Sizes(tile, max(tile, self.workspace or workspace), best.states)

    @property
    def operand(self) -> torch.dtype:
        """What states and weight are rounded to before they are multiplied."""
        return self.weight.dtype if self.products is None else getattr(torch, self.products)

    @property
    def wide(self) -> torch.dtype:
        """The type of logits and statistics: float32 or wider."""
        return torch.promote_types(self.operand, torch.float32)

    def tiles(self) -> Iterator[tuple[int, Factor]]:
        """Each tile's first entry, and the tile itself, ready to be multiplied with states."""
        tile = self.sizes.tile
        for start in range(0, self.vocabulary, tile):
            yield start, Factor(self.weight[start : start + tile].to(self.operand))

    def statistics(self, *shape: int, spare: Tensor | None = None) -> Online:
        """Statistics of so many rows, before the first tile; ``spare`` is memory as large as their logits."""
        like = self.weight.new_empty(0, dtype=self.wide)
        return Online(shape, like, self.temperature, self.softcap, spare)

    def buffer(self) -> Tensor:
        """Memory for one workspace of logits."""
        return self.weight.new_empty(self.sizes.workspace, dtype=self.wide)

    def spare(self) -> Tensor | None:
        """One more, for what is worked out of them; on CUDA that is never written down."""
        return None if self.weight.is_cuda else self.buffer()

"""Layer numbers: counted from 1, as the paper does, with one type that converts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerIndex:
    """Decoder layer ``number`` of ``total``; 1 is the layer right above the embedding.

    Raises:
        ValueError: ``number`` is not an integer in 1..total.
    """

    number: int
    total: int

    def __post_init__(self) -> None:
        """Refuse what is no layer."""
        for name, value in (("number", self.number), ("total", self.total)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"layer {name} {value!r} is not an integer")
        if not 1 <= self.number <= self.total:
            raise ValueError(
                f"layer {self.number} does not exist: layers count from 1 and this model has {self.total}"
            )

    @property
    def zero_based(self) -> int:
        """Position in the model's list of layers."""
        return self.number - 1

    @property
    def hidden_states_index(self) -> int:
        """Position of H^number in Hugging Face ``hidden_states``, where 0 is the embedding.

        The entry of the last layer is an exception there: it has already been through the final norm.
        """
        return self.number

    @property
    def is_last(self) -> bool:
        """Whether this is the model's top layer."""
        return self.number == self.total

    def __str__(self) -> str:
        """``layer 6 of 36``."""
        return f"layer {self.number} of {self.total}"

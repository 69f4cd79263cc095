"""Learning rates of the parts of a model, and parts that are frozen (``bupo.learning_rates``)."""

from typing import Literal, get_args

from pydantic import Field, PositiveInt
from torch import nn

from bupo.errors import UserError
from bupo.policies.architectures import architecture_of, decoder_layers, part
from bupo.training.schedule import Schedule
from bupo.validation import Strict

Part = Literal["lower", "upper", "embedding", "final_norm", "unembedding"]
PARTS: tuple[Part, ...] = get_args(Part)


class LearningRates(Strict):
    """For each part of the model a factor of the learning rate; 0 freezes the part.

    Attributes:
        split: l; None where all layers are the same.
        lower, upper: of the layers 1 to l, and of those above.
    """

    split: PositiveInt | None = None
    lower: float = Field(default=1.0, ge=0)
    upper: float = Field(default=1.0, ge=0)
    embedding: float = Field(default=1.0, ge=0)
    final_norm: float = Field(default=1.0, ge=0)
    unembedding: float = Field(default=1.0, ge=0)

    @property
    def plain(self) -> bool:
        """Whether every part learns at the one rate."""
        return all(self.of(part) == 1 for part in PARTS)

    def of(self, part: Part) -> float:
        """The factor of a part."""
        return float(getattr(self, part))


def check_learning_rates(rates: LearningRates, schedule: Schedule, total: int, where: str) -> None:
    """Refuse rates that mean nothing, and such with which a phase would train no layer.

    Args:
        rates: as configured.
        schedule: the phases of the run.
        total: L.
        where: the configuration file, for messages.

    Raises:
        UserError: they are such.
    """
    key = f"{where}: bupo.learning_rates"
    if rates.split is None and rates.lower != rates.upper:
        raise UserError(
            f"{key}.split is missing; it should be the last of the lower layers, from 1 to {total}."
        )
    if rates.split is not None and rates.split > total:
        raise UserError(f"{key}.split = {rates.split} should be a layer from 1 to {total}.")
    for phase in schedule.phases:
        last = phase.layer.number if phase.layer else total
        split = total if rates.split is None else rates.split
        if rates.lower == 0 and (last <= split or rates.upper == 0):
            raise UserError(
                f"{key} freezes all layers that phase {phase.number} of bupo.schedule trains, 1 to {last}; "
                "one of them should learn."
            )


def check_tied(rates: LearningRates, tied: bool, where: str) -> None:
    """Refuse two rates for one matrix.

    Args:
        rates: as configured.
        tied: whether embedding and unembedding are one matrix.
        where: the configuration file or the model, for messages.

    Raises:
        UserError: they have two.
    """
    if tied and rates.embedding != rates.unembedding:
        raise UserError(
            f"{where}: bupo.learning_rates.embedding = {rates.embedding} and unembedding = "
            f"{rates.unembedding} should be the same, for in this model they are one matrix."
        )


def parts_of(model: nn.Module, split: int | None) -> dict[nn.Parameter, Part]:
    """To which part each parameter belongs; in a tied model the one matrix is the unembedding.

    Args:
        model: a Hugging Face causal language model, also one that ``fully_shard`` (FSDP2) has wrapped.
        split: l, the last of the lower layers; None: all are.

    Raises:
        UserError: the model's architecture is unknown, or a parameter belongs to no part.
    """
    names = architecture_of(model)
    layers = decoder_layers(model)
    modules: list[tuple[Part, nn.Module]] = [
        ("embedding", part(model, names.decoder, names.embedding)),
        ("unembedding", part(model, names.unembedding)),
        ("final_norm", part(model, names.decoder, names.final_norm)),
        *(
            ("lower" if split is None or number <= split else "upper", layer)
            for number, layer in enumerate(layers, start=1)
        ),
    ]
    found = {parameter: name for name, module in modules for parameter in module.parameters()}
    for name, parameter in model.named_parameters():
        if parameter not in found:
            raise UserError(
                f"{type(model).__name__}: {name} is neither in a layer nor embedding, norm or unembedding, "
                "so that bupo.learning_rates says nothing about it"
            )
    return found

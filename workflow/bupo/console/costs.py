"""``configs/costs.yaml``: what an estimate assumes where nothing was measured, each with its source."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import Field, PositiveFloat, PositiveInt

from bupo.validation import Strict, load_yaml, validated


class Reference(Strict):
    """A model of a known size that something was measured on."""

    model: str
    parameters: PositiveFloat
    source: str


class Step(Reference):
    """Seconds of one trainer step.

    Attributes:
        gpus: how many of the kind ``gpu``.
        responses: sampled in a step.
        response_tokens: the longest that a response may be.
    """

    seconds: PositiveFloat
    gpus: PositiveInt
    gpu: str
    responses: PositiveInt
    response_tokens: PositiveInt


class Sampling(Reference):
    """Tokens a second of one GPU."""

    tokens_per_second: PositiveFloat
    gpu: str


class Analysis(Reference):
    """Seconds of the entropy analysis of one response, beside its sampling."""

    seconds_per_response: PositiveFloat


class Factor(Strict):
    """How much longer a method's step is than GRPO's."""

    factor: PositiveFloat
    source: str


class Disk(Strict):
    """Bytes: ``hub_model``, ``built_model`` and ``checkpoint`` by parameter, the others by what they name."""

    hub_model: PositiveFloat
    built_model: PositiveFloat
    checkpoint: PositiveFloat
    token: PositiveFloat
    sample: PositiveFloat
    step: PositiveFloat
    source: str


class Costs(Strict):
    """The whole file; its comments say what each number is of."""

    step: list[Step] = Field(min_length=1)
    methods: dict[str, Factor] = {}
    sampling: list[Sampling] = Field(min_length=1)
    analysis: Analysis
    parameters: dict[str, PositiveInt] = {}
    parameters_source: str = ""
    disk: Disk
    jobs: dict[str, PositiveFloat] = {}
    jobs_source: str = ""


Known = TypeVar("Known", bound=Reference)


def read_costs(path: Path) -> Costs:
    """Read the assumptions.

    Raises:
        UserError: the file is missing or has a mistake.
    """
    return validated(Costs, load_yaml(path), path)


def nearest(references: Sequence[Known], model: str, parameters: float) -> Known:
    """The reference of the same model, or else of the one nearest in size."""
    return min(
        references, key=lambda known: (known.model != model, abs(math.log(known.parameters / parameters)))
    )

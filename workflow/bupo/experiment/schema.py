"""What an experiment file may say (``configs/experiment/<name>.yaml``)."""

from collections.abc import Mapping
from math import floor
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from bupo.validation import Strict

Layer = PositiveInt | Literal["auto"] | Annotated[float, Field(gt=0, lt=1)]
"""Counted from 1; the measured boundary layer; or a fraction of the model's depth."""


def layer_at(layer: int | float | str | None, total: int) -> int | str | None:
    """The layer that is meant: a fraction of the depth is the nearest layer, at least the first.

    Args:
        layer: as an experiment file has it, or None.
        total: L, the model's number of layers.
    """
    return max(1, floor(layer * total + 0.5)) if isinstance(layer, float) else layer


class Models(Strict):
    """Which models are trained and evaluated, and which are analysed (names in configs/model/)."""

    train: list[str] = []
    analyse: list[str] = []


class Data(Strict):
    """Which problem sets are used (names in configs/data/), and where public ones are taken from.

    Attributes:
        spare: sets that are only searched for in the training sets; what is found is told, not removed.
        limits: for each set the number of problems that are used, the first ones; leaks are searched in all.
        keep_unreadable: train also on problems whose gold answer the grader cannot read.
        max_prompt_tokens: training problems with a longer prompt, in the model's own tokens, are left out.
            What a model holds has to have room for such a prompt and the longest response.
    """

    train: list[str] = []
    benchmarks: list[str] = []
    spare: list[str] = []
    source: Literal["hub", "local"] = "hub"
    directory: str | None = None
    limits: dict[str, PositiveInt] = {}
    max_prompt_tokens: PositiveInt = 1024
    keep_unreadable: bool = False


class Analysis(Strict):
    """Settings of the entropy analysis (a name in configs/analysis/) and what it is made of.

    Attributes:
        problems: the problem sets that are answered (names in configs/data/). A single one stands for a list.
        shards: into how many jobs the analysis of a model is cut.
        snapshots: keep and analyse the model of every run after each n-th step; null for no such sweep.
    """

    settings: str
    problems: list[str] = Field(min_length=1)
    shards: PositiveInt = 1
    snapshots: PositiveInt | None = None

    @field_validator("problems", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("problems")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("each set should be named once")
        return value


class Training(Strict):
    """What all cells share.

    Attributes:
        engine: the machine (a name in configs/engine/).
        steps: trainer steps.
        overrides: Hydra overrides of any verl key.
        settings: whose numbers where the paper and the authors' scripts differ (a name in configs/settings/).
    """

    engine: str | None = None
    steps: PositiveInt = Field(default=0, validate_default=False)
    overrides: list[str] = []
    settings: str = "paper"


class Evaluation(Strict):
    """Settings of the evaluation (a name in configs/evaluation/)."""

    settings: str | None = None


class AutoLayer(Strict):
    """What ``layer: auto`` means where the measured boundary layer is unclear."""

    fallback: PositiveInt


class Block(Strict):
    """One block of the grid: the product of its axes. A single value stands for a list of one."""

    method: list[str]
    model: list[str] | None = None
    train_set: list[str] | None = None
    layer: list[Layer] | None = None
    iterative_steps: list[PositiveInt] | None = None
    learning_rate: list[float] | None = None
    seed: list[int] = [1]

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, list) else [value]


class Exclusion(Strict):
    """Cells that the grid leaves out: those that have one of the values named in every axis named."""

    method: list[str] | None = None
    model: list[str] | None = None
    train_set: list[str] | None = None
    layer: list[Layer] | None = None
    iterative_steps: list[PositiveInt] | None = None
    learning_rate: list[float] | None = None
    seed: list[int] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, list) else [value]

    @model_validator(mode="after")
    def _says_something(self) -> "Exclusion":
        if not self.model_fields_set:
            raise ValueError("an exclusion should name an axis")
        return self

    def matches(self, cell: Mapping[str, Any], total: int) -> bool:
        """Whether it leaves a cell out.

        Args:
            cell: its axes.
            total: number of layers of its model.
        """
        named = {axis: getattr(self, axis) for axis in self.model_fields_set}
        if "layer" in named:
            named["layer"] = [layer_at(layer, total) for layer in named["layer"]]
        return all(cell[axis] in values for axis, values in named.items())


class Experiment(Strict):
    """An experiment: the file's name is its name.

    Attributes:
        grid: blocks whose cells are trained; without one there is only the entropy analysis, and nothing that
            a training or an evaluation needs (`bupo.experiment.checks.check_parts`).
        baselines: methods without a layer that are trained once for each model, training set, learning rate
            and seed of the grid.
        exclude: cells of the grid that are not.
    """

    description: str
    seed: int = 1
    models: Models
    data: Data = Data()
    analysis: Analysis
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    auto_layer: AutoLayer | None = None
    grid: list[Block] | None = Field(default=None, min_length=1)
    baselines: list[str] = []
    exclude: list[Exclusion] = []
    expected_seconds: dict[str, float] = {}

"""The published tables: ``<name>.yaml`` beside this file, lists of rows, and what all of them rest on."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import model_validator

from bupo.validation import Strict, load_yaml, validated

TABLES = ("main", "s_inter", "layer", "final_norm", "layer_aware", "seeds", "out_of_domain")
MEAN = "mean"
_FOLDER = Path(__file__).parent


class TrainingReference(Strict):
    """How the published runs were trained, but for their layer and s_inter.

    Attributes:
        max_prompt_tokens: the authors' scripts'; the paper does not state it.
        engine: of ours, the one that changes none of the paper's numbers.
    """

    train_set: str
    max_prompt_tokens: int
    steps: int
    learning_rate: float
    settings: str
    engine: str


class EvaluationReference(Strict):
    """How they were evaluated.

    Attributes:
        max_new_tokens: taken for the paper's, which does not state it.
        samples: for each problem, by benchmark.
        problems: of each benchmark.
    """

    temperature: float
    top_p: float
    max_new_tokens: int
    samples: dict[str, int]
    problems: dict[str, int]


class Reference(Strict):
    """What every published number rests on.

    Attributes:
        paper: where the numbers are from, and its version.
        notes: what is not known of all of them.
    """

    paper: str
    version: str
    training: TrainingReference
    evaluation: EvaluationReference
    notes: list[str]


class Row(Strict):
    """One run of a published table.

    Attributes:
        method: a name in configs/algorithm/, or ``base``: the model before training.
        layer, iterative_steps: as a cell of ours has them; None for a method without.
        printed_layer: the layer's number in the table where that is another.
        scores: by benchmark and ``mean``, in percent, as printed.
        deviations: standard deviations over seeds, in percent.
        notes: known inconsistencies.
    """

    model: str
    method: str
    layer: int | None = None
    printed_layer: int | None = None
    iterative_steps: int | None = None
    scores: dict[str, float]
    deviations: dict[str, float] = {}
    notes: list[str] = []

    @model_validator(mode="after")
    def _deviations_are_of_scores(self) -> "Row":
        if not self.deviations.keys() <= self.scores.keys():
            raise ValueError("deviations should be of benchmarks that have a score")
        return self


class PublishedTable(Strict):
    """One table.

    Attributes:
        place: where it stands in the paper.
        title: what it compares.
        seeds: how many training runs a score is of.
        notes: on all rows.
    """

    place: str
    title: str
    seeds: int
    notes: list[str] = []
    rows: list[Row]


class Pattern(Strict):
    """How the paper describes the entropy change of some models over their layers.

    Attributes:
        family: the paper's name.
        models: ours.
        attention, ffn: in words; None where it says nothing.
        boundary_layer: the last layer whose FFN raises the entropy, from 1; None where it names none.
    """

    family: str
    models: list[str]
    attention: str | None = None
    ffn: str | None = None
    boundary_layer: int | None = None


class _Patterns(Strict):
    patterns: list[Pattern]


@cache
def reference() -> Reference:
    """What every published number rests on."""
    return validated(Reference, load_yaml(_FOLDER / "reference.yaml"), _FOLDER / "reference.yaml")


@cache
def published_tables() -> Mapping[str, PublishedTable]:
    """Every table, by name, the main results first."""
    paths = {name: _FOLDER / f"{name}.yaml" for name in TABLES}
    return {name: validated(PublishedTable, load_yaml(path), path) for name, path in paths.items()}


@cache
def published_patterns() -> list[Pattern]:
    """What the paper says of entropy patterns."""
    path = _FOLDER / "entropy.yaml"
    return validated(_Patterns, load_yaml(path), path).patterns


def published_pattern(model: str) -> Pattern | None:
    """What the paper says of a model's entropy pattern; None where it says nothing."""
    return next((pattern for pattern in published_patterns() if model in pattern.models), None)

"""How large the things of an experiment are: problems of a set, parameters of a model, bytes on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bupo.console.costs import Costs
from bupo.experiment.plan import Plan
from bupo.files import read_json
from bupo.models.config import BuiltModel, ModelConfig


def problems_in(plan: Plan, name: str) -> int | None:
    """How many problems of a set an experiment uses, at most; None where its file does not say."""
    data_set, limit = plan.data_sets[name], plan.experiment.data.limits.get(name)
    if data_set.generated:
        count: int | None = data_set.generated.n
    elif data_set.rows is None:
        count = None
    else:
        count = data_set.rows - (data_set.minus.rows if data_set.minus else 0) - data_set.known_drops
    return limit if count is None else min(count, limit or count)


def parameters_of(plan: Plan, costs: Costs) -> dict[str, int]:
    """Parameters of each model of an experiment; one whose number is not known is left out."""
    found = {}
    for name, model in plan.models.items():
        description = Path(plan.folder) / "models" / name / "model.json"
        told = read_json(description).get("parameters") if description.is_file() else None
        count = told or (built_parameters(model, model.built) if model.built else costs.parameters.get(name))
        if count:
            found[name] = int(count)
    return found


def built_parameters(model: ModelConfig, built: BuiltModel) -> int:
    """Parameters of a model that is built here, with the whole vocabulary that it may have."""
    width = built.hidden_size
    embedding = built.tokenizer.vocab_size * width * (1 if built.tie_word_embeddings else 2)
    heads = (2 * built.attention_heads + 2 * built.key_value_heads) * built.head_dim
    head_norms = 2 * built.head_dim if built.architecture == "qwen3" else 0
    layer = width * (heads + 3 * built.intermediate_size + 2) + head_norms
    return embedding + model.layers * layer + width


@dataclass(frozen=True)
class Disk:
    """Bytes of an experiment.

    Attributes:
        kept: what stays below results/, by what it is.
        cache: models of the hub in its cache.
        run: checkpoints of one run while it is trained, the largest.
        unknown: models whose size is not known, which are in none of these.
    """

    kept: Mapping[str, float]
    cache: float
    run: float
    unknown: tuple[str, ...]


def disk_of(plan: Plan, costs: Costs, checkpoints: Mapping[str, int], tokens: Mapping[str, float]) -> Disk:
    """The bytes that a whole experiment takes; the entropy analysis and the report, megabytes, are left out.

    Args:
        plan: the experiment.
        costs: bytes by parameter, token, sample and step.
        checkpoints: for each model how many models' checkpoints lie there at a time while it is trained.
        tokens: for each benchmark the tokens of all samples of one evaluation.
    """
    sizes, by = parameters_of(plan, costs), costs.disk
    weight = {name: by.built_model if model.built else by.hub_model for name, model in plan.models.items()}
    steps, every = plan.experiment.training.steps, plan.experiment.analysis.snapshots
    models = 1 + (len(range(every, steps, every)) if every else 0)
    runs = sum(models * sizes.get(c.model, 0) * weight[c.model] + steps * by.step for c in plan.cells)
    kept = {
        "runs": runs,
        "evaluation": len(plan.evaluations) * sum(tokens.values()),
        "models": sum(
            sizes.get(name, 0) * weight[name] for name, model in plan.models.items() if model.built
        ),
    }
    return Disk(
        kept=kept,
        cache=sum(sizes.get(name, 0) * weight[name] for name, model in plan.models.items() if model.hub),
        run=max(
            (sizes.get(name, 0) * by.checkpoint * count for name, count in checkpoints.items()), default=0
        ),
        unknown=tuple(name for name in plan.models if name not in sizes),
    )

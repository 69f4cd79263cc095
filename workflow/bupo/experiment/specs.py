"""The spec files: what each stage of an experiment reads (`bupo.experiment.written` writes them).

What changes nothing in the results is in none of them: comments, the order of keys, the description, what is
logged. A run's spec holds the hash of the files of ``configs/`` that its configuration is composed of, so
that an edit of one of those reaches the cells that use it, and no others.
"""

import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from bupo.data.config import DataSet, DataSpec
from bupo.data.prompts import PROMPTS
from bupo.entropy.settings import Analysis
from bupo.errors import UserError
from bupo.evaluation.config import Decoding
from bupo.experiment.composed import OF_MODEL
from bupo.experiment.groups import load_entry
from bupo.experiment.lengths import longest_response
from bupo.experiment.plan import Plan
from bupo.experiment.schema import Training
from bupo.files import read_yaml, sha256_text
from bupo.identity import LOGGING, NO_IDENTITY, changes_nothing, without
from bupo.validation import validated


def specs_of(plan: Plan, configs: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The specs of an experiment, by their paths below ``spec/`` without ending, and the experiment resolved.

    Raises:
        UserError: a set that is not to be had from its source.
    """
    experiment = plan.experiment
    specs: dict[str, Any] = {}
    for name, data_set in plan.data_sets.items():
        specs[f"data/{name}"] = _data_spec(name, data_set, plan, configs).model_dump(mode="json")
    for name, model in plan.models.items():
        values = model.model_dump(mode="json", exclude={"size"})
        specs[f"models/{name}"] = {"model": values, "seed": experiment.seed}
    analysis, evaluation = (
        load_entry(configs, group, name, f"{group}.settings")
        for group, name in (
            ("analysis", experiment.analysis.settings),
            ("evaluation", experiment.evaluation.settings),
        )
    )
    shorter = _shorter(plan, analysis)
    for name in plan.analysed:
        template = PROMPTS[plan.models[name].prompt].template_arguments()
        own = {**analysis, **shorter.get(name, {})}
        specs[f"entropy/{name}"] = {**own, "seed": experiment.seed, "chat_template": template}
    for name in experiment.models.train:
        prompt = PROMPTS[plan.models[name].prompt]
        spec = {
            **evaluation,
            "seed": experiment.seed,
            "chat_template": prompt.template,
            "chat_template_kwargs": prompt.template_options,
        }
        specs[f"evaluation/{name}"] = spec
        # Samples hang neither on their number nor on the grader: a change of those draws none of them again.
        specs[f"sampling/{name}"] = {key: spec[key] for key in spec if key in Decoding.model_fields}
    overrides = [text for text in experiment.training.overrides if not changes_nothing(text)]
    composed_of = cache(partial(_configs_sha256, configs, experiment.training))
    for cell in plan.cells:
        specs[f"runs/{cell.run}"] = {
            **cell.as_dict(),
            "engine": experiment.training.engine,
            "settings": experiment.training.settings,
            "steps": experiment.training.steps,
            "snapshot_every": experiment.analysis.snapshots,
            "overrides": [*plan.resources.overrides[cell.model], *overrides],
            "configs_sha256": composed_of(cell.method, cell.model),
            "fallback": experiment.auto_layer.fallback
            if experiment.auto_layer and cell.layer == "auto"
            else None,
            "train_file": plan.train_table(cell.model, cell.name),
            "layers": plan.models[cell.model].layers,
            "prompt": plan.models[cell.model].prompt,
            "max_prompt_tokens": experiment.data.max_prompt_tokens,
        }
    specs["training"] = [text for text in experiment.training.overrides if changes_nothing(text)]
    return specs, _resolved(plan, analysis, shorter, evaluation)


def _data_spec(name: str, data_set: DataSet, plan: Plan, configs: Path) -> DataSpec:
    data = plan.experiment.data
    where = configs / "experiment" / f"{plan.name}.yaml"
    try:
        source = data_set.kind(data.source)
    except ValueError as error:
        raise UserError(f"{where}: data.source = {data.source!r}: {error}.") from None
    if source == "local" and (data.directory is None or not Path(data.directory).is_dir()):
        raise UserError(
            f"{where}: data.directory = {data.directory!r} should name the folder that holds the local sets."
        )
    spec = {
        "set": data_set.model_dump(mode="json"),
        "source": source,
        "directory": data.directory if source == "local" else None,
        "seed": plan.experiment.seed,
    }
    return validated(DataSpec, spec, f"{where}: the set {name}")


def _shorter(plan: Plan, analysis: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Settings of the analysis of the models that do not hold its longest response."""
    wanted = Analysis.model_validate(analysis).max_new_tokens
    prompt = plan.experiment.data.max_prompt_tokens
    lengths = {name: longest_response(plan.models[name], wanted, prompt) for name in plan.analysed}
    return {name: {"max_new_tokens": most} for name, most in lengths.items() if most < wanted}


def _resolved(
    plan: Plan,
    analysis: Mapping[str, Any],
    shorter: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    experiment = plan.experiment
    return {
        "name": plan.name,
        **experiment.model_dump(
            mode="json", exclude={"grid", "baselines", "exclude", "analysis", "evaluation"}
        ),
        "analysis": {
            **experiment.analysis.model_dump(exclude={"problems"}),
            "sets": experiment.analysis.problems,
            **analysis,
            **({OF_MODEL: dict(shorter)} if shorter else {}),
        },
        "evaluation": {**experiment.evaluation.model_dump(), **evaluation},
        "cells": [{**cell.as_dict(), "steps": experiment.training.steps} for cell in plan.cells],
        "mlflow": {"uri": plan.mlflow_uri},
    }


def files_of(configs: Path, method: str, settings: str, engine: str | None) -> list[Path]:
    """The files of ``configs/`` that a configuration is composed of."""
    groups = [configs / "settings" / f"{settings}.yaml", configs / "engine" / f"{engine}.yaml"]
    return [configs / "cell.yaml", *_algorithm(configs, method), *groups]


def _configs_sha256(configs: Path, training: Training, method: str, model: str) -> str:
    """The hash of the values in the files of ``configs/`` that a configuration is composed of."""
    files = files_of(configs, method, training.settings, training.engine)
    return sha256_text("".join(_science(file, model) for file in files))


def _algorithm(configs: Path, method: str) -> list[Path]:
    """The file of a method and those that it builds on."""
    file = configs / "algorithm" / f"{method}.yaml"
    bases = (read_yaml(file) or {}).get("defaults", [])
    return [file, *(path for base in bases if base != "_self_" for path in _algorithm(configs, base))]


def _science(file: Path, model: str) -> str:
    """The values of a file that change what a model learns, as JSON."""
    values = without(read_yaml(file) or {}, [*(f"bupo.{key}" for key in NO_IDENTITY), *LOGGING])
    values[OF_MODEL] = (values.get(OF_MODEL) or {}).get(model)
    return json.dumps(values, sort_keys=True)

"""From an experiment file to a plan, and to the spec files that the stages read.

Each stage gets one spec file that holds all it needs, and is written anew only when its content changes: an
edit of the experiment reruns the stages that it concerns, and a comment reruns none.
"""

import os
import sys
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bupo.data.config import DataSet, DataSpec
from bupo.data.prompts import PROMPTS
from bupo.entropy.settings import Analysis
from bupo.errors import UserError
from bupo.evaluation.config import Decoding, EvaluationSettings
from bupo.experiment.cells import cells_of
from bupo.experiment.compose import OF_MODEL, compose_cell
from bupo.experiment.groups import load_entry, load_models, load_sets, names_in
from bupo.experiment.methods import load_methods
from bupo.experiment.plan import Plan
from bupo.experiment.resources import resources_of
from bupo.experiment.schema import Experiment
from bupo.files import holds, to_yaml, write_text, write_text_if_changed
from bupo.validation import Strict, load_yaml, validated


class _Config(Strict):
    """configs/config.yaml with what the command line changed."""

    experiment: str
    overrides: list[str] = []
    results: str = "results"
    mlflow: str = ""


def resolve(config: Mapping[str, Any], configs: Path) -> Plan:
    """Validate the experiment, write its resolved form and its specs where they changed, and return the plan.

    Args:
        config: ``experiment``, ``overrides``, ``results`` and ``mlflow``, as in configs/config.yaml.
        configs: the project's ``configs/`` folder.

    Raises:
        UserError: any mistake in the experiment, before anything has run.
    """
    plan = planned(config, configs)
    _write(plan, configs)
    return plan


def planned(config: Mapping[str, Any], configs: Path) -> Plan:
    """The plan of the experiment that a configuration names, as `resolve` has it; writes nothing.

    Raises:
        UserError: any mistake in the experiment.
    """
    settings = validated(_Config, dict(config), configs / "config.yaml")
    return plan_of(settings.experiment, settings.overrides, configs, settings.results, settings.mlflow)


def plan_or_exit(config: Mapping[str, Any]) -> Plan:
    """The plan of the experiment that Snakemake's configuration names; a mistake ends it in one sentence."""
    try:
        return resolve(config, Path("configs"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)  # Snakemake would print the exit of its own file as a traceback


def plan_of(
    name: str, overrides: list[str], configs: Path, results: str = "results", mlflow: str = ""
) -> Plan:
    """The validated plan of an experiment; writes nothing.

    Raises:
        UserError: any mistake in the experiment.
    """
    path = configs / "experiment" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(names_in(configs, "experiment"))
        raise UserError(f"experiment = {name!r} is not known; {configs}/experiment/ has: {known}.")
    where = str(path)
    experiment = validated(Experiment, _overridden(load_yaml(path), overrides, where), where)
    models = load_models(configs, experiment.models.train + experiment.models.analyse, f"{where}: models")
    data = experiment.data
    sets = load_sets(configs, [*data.train, *data.benchmarks, *data.spare], f"{where}: data")
    sets |= load_sets(configs, experiment.analysis.problems, f"{where}: analysis.problems")
    evaluation = _check_settings(configs, experiment, where)
    engine = load_entry(configs, "engine", experiment.training.engine, f"{where}: training.engine")
    settings = load_entry(configs, "settings", experiment.training.settings, f"{where}: training.settings")
    for key in data.limits:
        if key not in sets:
            raise UserError(
                f"{where}: data.limits.{key} is not a set of this experiment ({', '.join(sets)})."
            )
    layers = {model: models[model].layers for model in models}
    cells = cells_of(experiment, layers, load_methods(configs), where, settings.get(OF_MODEL) or {})
    uri = mlflow or f"sqlite:///{results}/mlflow/mlflow.db"
    analysed, sampled = _settings(configs, experiment)
    ranks = {"entropy": _ranks(analysed), "sample": _ranks(sampled)}
    resources = resources_of(configs, models, engine, experiment.training.overrides, ranks)
    return Plan(name, f"{results}/{name}", uri, experiment, sets, models, tuple(cells), evaluation, resources)


def _settings(configs: Path, experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the entropy analysis and of the evaluation, as their files have them."""
    names = {"analysis": experiment.analysis.settings, "evaluation": experiment.evaluation.settings}
    entries = [load_entry(configs, group, name, f"{group}.settings") for group, name in names.items()]
    return entries[0], entries[1]


def _ranks(settings: Mapping[str, Any]) -> int:
    """GPUs that vLLM spreads a model over."""
    return int((settings.get("vllm") or {}).get("tensor_parallel_size", 1))


def _check_settings(configs: Path, experiment: Experiment, where: str) -> EvaluationSettings:
    """The settings of the evaluation; those of the analysis are checked as well."""
    analysis, values = _settings(configs, experiment)
    file = configs / "evaluation" / f"{experiment.evaluation.settings}.yaml"
    evaluation = validated(EvaluationSettings, values, file)
    file = configs / "analysis" / f"{experiment.analysis.settings}.yaml"
    settings, shards = validated(Analysis, analysis, file), experiment.analysis.shards
    if settings.problems is not None:
        problems = settings.problems * len(experiment.analysis.problems)
        batches = -(-problems * settings.samples // settings.batch_size)
        if shards > batches:
            raise UserError(
                f"{where}: analysis.shards = {shards} should be at most {batches}, for that many batches of "
                f"responses come of {problems} problems with the settings in {file}."
            )
    return evaluation


def _overridden(values: Any, overrides: list[str], where: str) -> Any:
    try:
        merged = OmegaConf.merge(OmegaConf.create(values or {}), OmegaConf.from_dotlist(overrides))
        return OmegaConf.to_container(merged)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{where}: the overrides {overrides} cannot be applied: {error}.") from None


def _write(plan: Plan, configs: Path) -> None:
    experiment, folder = plan.experiment, Path(plan.folder)
    specs: dict[str, Any] = {}
    for name, data_set in plan.data_sets.items():
        specs[f"data/{name}"] = _data_spec(name, data_set, plan, configs).model_dump(mode="json")
    for name, model in plan.models.items():
        specs[f"models/{name}"] = {
            "model": model.model_dump(mode="json", exclude={"size"}),
            "seed": experiment.seed,
        }
    analysis, evaluation = _settings(configs, experiment)
    for name in plan.analysed:
        template = PROMPTS[plan.models[name].prompt].template_arguments()
        specs[f"entropy/{name}"] = {**analysis, "seed": experiment.seed, "chat_template": template}
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
    for cell in plan.cells:
        specs[f"runs/{cell.run}"] = {
            **cell.as_dict(),
            "engine": experiment.training.engine,
            "settings": experiment.training.settings,
            "steps": experiment.training.steps,
            "snapshot_every": experiment.analysis.snapshots,
            "overrides": [*plan.resources.overrides[cell.model], *experiment.training.overrides],
            "fallback": experiment.auto_layer.fallback
            if experiment.auto_layer and cell.layer == "auto"
            else None,
            "train_file": plan.train_table(cell.model, cell.name),
            "benchmark_files": [plan.table(cell.model, name) for name in plan.benchmarks],
            "layers": plan.models[cell.model].layers,
            "prompt": plan.models[cell.model].prompt,
            "max_prompt_tokens": experiment.data.max_prompt_tokens,
        }
    changed = {}
    for name, spec in specs.items():
        file, text = folder / "spec" / f"{name}.yaml", to_yaml(spec)
        if not holds(file, text):
            changed[name] = file, text
    _check_overrides(plan, specs, changed, configs)
    for file, text in changed.values():
        # Not synced, for there may be thousands: what a power cut leaves is compared again by the next call.
        write_text(file, text, durable=False)
    write_text_if_changed(folder / "experiment.yaml", to_yaml(_resolved(plan, analysis, evaluation)))


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


def _check_overrides(
    plan: Plan, specs: Mapping[str, Any], changed: Container[str], configs: Path
) -> None:
    # Composing takes about a second, so that only cells that changed are composed here, one of each method; a
    # mistake in a verl key then shows before anything runs.
    from bupo.experiment.configure import cell_overrides

    checked = set()
    for cell in plan.cells:
        name = f"runs/{cell.run}"
        if cell.method in checked or name not in changed:
            continue
        checked.add(cell.method)
        spec = specs[name]
        layer = spec["fallback"] if spec["layer"] == "auto" else spec["layer"]
        compose_cell(
            configs, *cell_overrides(spec, layer, model_path="model"), where=f"experiment {plan.name}"
        )


def _resolved(plan: Plan, analysis: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
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
        },
        "evaluation": {**experiment.evaluation.model_dump(), **evaluation},
        "cells": [{**cell.as_dict(), "steps": experiment.training.steps} for cell in plan.cells],
        "mlflow": {"uri": plan.mlflow_uri},
    }

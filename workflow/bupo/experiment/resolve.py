"""From an experiment file to a plan."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bupo.entropy.settings import Analysis
from bupo.environments import Environment
from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.experiment.cells import cells_of
from bupo.experiment.checks import check_parts
from bupo.experiment.composed import OF_MODEL
from bupo.experiment.groups import load_entry, load_models, load_sets, names_in
from bupo.experiment.lengths import check_lengths
from bupo.experiment.methods import load_methods
from bupo.experiment.plan import Plan
from bupo.experiment.resources import resources_of
from bupo.experiment.schema import Experiment
from bupo.experiment.written import write_specs
from bupo.models.config import ModelConfig
from bupo.tracking.address import database_path
from bupo.validation import Strict, load_yaml, validated


class _Config(Strict):
    """configs/config.yaml with what the command line changed."""

    experiment: str
    overrides: list[str] = []
    results: str = "results"
    mlflow: str = ""
    environment: str = "auto"
    container: str = ""


def resolve(config: Mapping[str, Any], configs: Path) -> Plan:
    """Validate the experiment, write its resolved form and its specs where they changed, and return the plan.

    Args:
        config: ``experiment``, ``overrides``, ``results`` and ``mlflow``, as in configs/config.yaml.
        configs: the project's ``configs/`` folder.

    Raises:
        UserError: any mistake in the experiment, before anything has run; or another process runs it with
            other settings, and nothing is written then.
    """
    plan = planned(config, configs)
    write_specs(plan, configs)
    return plan


def planned(config: Mapping[str, Any], configs: Path) -> Plan:
    """The plan of the experiment that a configuration names, as `resolve` has it; writes nothing.

    Raises:
        UserError: any mistake in the experiment.
    """
    settings = validated(_Config, dict(config), configs / "config.yaml")
    if settings.mlflow:
        database_path(settings.mlflow)  # before it is written into files
    return plan_of(
        settings.experiment,
        settings.overrides,
        configs,
        settings.results,
        settings.mlflow,
        settings.environment,
        settings.container,
    )


def plan_of(
    name: str,
    overrides: list[str],
    configs: Path,
    results: str = "results",
    mlflow: str = "",
    environment: str = "auto",
    container: str = "",
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
    check_parts(experiment, where)
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
    plan = Plan(
        name=name,
        folder=f"{results}/{name}",
        mlflow_uri=uri,
        experiment=experiment,
        data_sets=sets,
        models=models,
        cells=tuple(cells),
        evaluation=evaluation,
        resources=resources_of(configs, models, engine, experiment.training.overrides, ranks),
        environment=Environment(_lock(configs, engine, models), environment, container),
    )
    check_lengths(plan, configs, where)
    return plan


def _settings(configs: Path, experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of the entropy analysis and of the evaluation, as their files have them."""
    names = {"analysis": experiment.analysis.settings, "evaluation": experiment.evaluation.settings}
    entries = [load_entry(configs, group, name, f"{group}.settings") for group, name in names.items()]
    return entries[0], entries[1]


def _ranks(settings: Mapping[str, Any]) -> int:
    """GPUs that vLLM spreads a model over."""
    return int((settings.get("vllm") or {}).get("tensor_parallel_size", 1))


def _lock(configs: Path, engine: Mapping[str, Any], models: Mapping[str, ModelConfig]) -> Path:
    """What the jobs of an engine need; without one, those that analyse these models."""
    on_gpus = any(model.kind != "built" for model in models.values())
    if engine:
        on_gpus = (engine.get("trainer") or {}).get("device") == "cuda"
    return configs.parent / "envs" / ("gpu.lock" if on_gpus else "cpu.lock")


def _check_settings(configs: Path, experiment: Experiment, where: str) -> EvaluationSettings | None:
    """The settings of the evaluation, if there is one; those of the analysis are checked as well."""
    analysis, values = _settings(configs, experiment)
    file = configs / "evaluation" / f"{experiment.evaluation.settings}.yaml"
    evaluation = validated(EvaluationSettings, values, file) if values else None
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

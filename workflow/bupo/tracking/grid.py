"""The runs of an experiment: made once, found again ever after."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.files import read_json, read_yaml, write_json
from bupo.identity import config_sha256
from bupo.tracking.definition import describe
from bupo.tracking.runs import (
    base_parameters,
    cell_parameters,
    child_run,
    current_runs,
    experiment_id,
    parent_run,
    with_config,
)
from bupo.tracking.store import Away, with_store
from bupo.tracking.view import share_view

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Tracking:
    """What ``tracking.json`` holds.

    Attributes:
        uri: the store's address as the user gave it.
        experiment_id: MLflow's id of the experiment; empty where MLflow could not be reached yet.
        parent_run_id: the run of the whole grid; empty as well.
        runs: run ids by ``<model>/<cell>/seed<s>``; ``<model>/base/seed0`` is the model before training.
            Those that were added while MLflow was away are not in it.
        parameters: the grid parameters of each run, by the same names, always of all.
        benchmarks: the experiment's benchmarks, in its order.
    """

    uri: str
    experiment_id: str
    parent_run_id: str
    runs: dict[str, str]
    parameters: dict[str, dict[str, str]]
    benchmarks: list[str]

    @property
    def complete(self) -> bool:
        """Whether MLflow had every run when this was written."""
        return bool(self.experiment_id) and set(self.parameters) == set(self.runs)

    def run_id(self, run: str) -> str:
        """The id that a run had when ``tracking.json`` was written.

        Raises:
            UserError: the experiment has no such run, or it could not be made yet.
        """
        self.check(run)
        if run not in self.runs:
            raise UserError(f"{run} is not in {self.uri} yet; python -m bupo.tracking init makes it.")
        return self.runs[run]

    def check(self, run: str) -> None:
        """Refuse the name of a run that the experiment does not have.

        Raises:
            UserError: it does not.
        """
        if run not in self.parameters:
            raise UserError(f"there is no run {run!r}; it should be one of {', '.join(self.parameters)}.")


def read_tracking(path: Path) -> Tracking:
    """Read ``tracking.json``.

    Raises:
        UserError: the file is missing.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file; python -m bupo.tracking init makes it.")
    return Tracking(**read_json(path))


def grid_parameters(experiment: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The grid parameters of every run of an experiment: the base models, then the cells in their order."""
    parameters = {f"{model}/base/seed0": base_parameters(model) for model in experiment["models"]["train"]}
    for cell in experiment["cells"]:
        complete = {"steps": experiment["training"]["steps"], **cell}
        parameters[f"{cell['model']}/{cell['cell']}/seed{cell['seed']}"] = cell_parameters(complete)
    return parameters


def init(experiment_file: Path, uri: str, out: Path) -> Tracking:
    """Make the store, the MLflow experiment and its runs where they are missing, and write ``tracking.json``.

    Run again it finds everything by tags and changes nothing; a new cell adds its run. Where MLflow cannot be
    reached, ``tracking.json`` says so: trainings begin, and what they have to say is logged later.

    Raises:
        UserError: the address is not known, or the experiment file is missing.
    """
    if not experiment_file.exists():
        raise UserError(
            f"{experiment_file}: there is no such file; --experiment is a resolved experiment.yaml."
        )
    experiment = read_yaml(experiment_file)
    parameters = grid_parameters(experiment)

    def make(client: "MlflowClient") -> tuple[str, str, dict[str, str]]:
        number = experiment_id(client, uri, experiment["name"], experiment.get("description", ""))
        known = current_runs(client, number)
        parent = parent_run(client, number, experiment["name"], known)
        describe(client, parent, experiment)
        share_view(client, number, experiment["data"]["benchmarks"], parameters.values())
        runs = {}
        for run, values in parameters.items():
            config = experiment_file.parent / "runs" / run / "config.yaml"
            configured = _configured(values, config if config.exists() else None)
            runs[run] = child_run(client, number, parent, run, *configured, known)
        client.log_artifact(parent, str(experiment_file), "experiment")
        return number, parent, runs

    try:
        number, parent, runs = with_store(uri, make)
    except Away as error:
        print(f"warning: {error}; the runs are made and logged when it is there again", file=sys.stderr)
        known = read_tracking(out) if out.exists() else None
        number, parent, runs = "", "", {}
        if known and known.uri == uri:
            number, parent, runs = known.experiment_id, known.parent_run_id, known.runs
    tracking = Tracking(uri, number, parent, runs, parameters, list(experiment["data"]["benchmarks"]))
    write_json(out, asdict(tracking))
    return tracking


def run_in_force(client: "MlflowClient", tracking: Tracking, run: str, config: Path | None) -> str:
    """The id of the run that stands for ``run`` now; with a configuration, the one that belongs to it.

    Raises:
        UserError: the experiment has no such run.
        Away: the experiment could not be made yet.
    """
    tracking.check(run)
    if not tracking.experiment_id:
        raise Away(f"{tracking.uri}: the experiment is not there yet; python -m bupo.tracking init makes it.")
    known = current_runs(client, tracking.experiment_id, run)
    parameters, sha = _configured(tracking.parameters[run], config)
    return child_run(client, tracking.experiment_id, tracking.parent_run_id, run, parameters, sha, known)


def _configured(parameters: dict[str, str], config: Path | None) -> tuple[dict[str, str], str | None]:
    if config is None:
        return parameters, None
    values = read_yaml(config)
    return with_config(parameters, values), config_sha256(values)

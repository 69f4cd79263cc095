"""The runs of an experiment: made once, found again ever after."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.files import read_json, read_yaml, write_json
from bupo.identity import config_sha256
from bupo.tracking.runs import (
    base_parameters,
    cell_parameters,
    child_run,
    current_runs,
    experiment_id,
    parent_run,
    with_config,
)
from bupo.tracking.store import absolute_uri, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Tracking:
    """What ``tracking.json`` holds.

    Attributes:
        uri: the store's address as the user gave it.
        experiment_id: MLflow's id of the experiment.
        parent_run_id: the run of the whole grid.
        runs: run ids by ``<model>/<cell>/seed<s>``; ``<model>/base/seed0`` is the model before training.
        parameters: the grid parameters of each run, by the same names.
        benchmarks: the experiment's benchmarks, in its order.
    """

    uri: str
    experiment_id: str
    parent_run_id: str
    runs: dict[str, str]
    parameters: dict[str, dict[str, str]]
    benchmarks: list[str]

    def run_id(self, run: str) -> str:
        """The id that a run had when ``tracking.json`` was written.

        Raises:
            UserError: the experiment has no such run.
        """
        if run not in self.runs:
            raise UserError(f"there is no run {run!r}; it should be one of {', '.join(self.runs)}.")
        return self.runs[run]


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

    Run again it finds everything by tags and changes nothing; a new cell adds its run.

    Raises:
        UserError: the address is not known, or the experiment file is missing.
    """
    if not experiment_file.exists():
        raise UserError(
            f"{experiment_file}: there is no such file; --experiment is a resolved experiment.yaml."
        )
    experiment = read_yaml(experiment_file)
    parameters = grid_parameters(experiment)
    with open_store(uri) as client:
        number = experiment_id(client, uri, experiment["name"], experiment.get("description", ""))
        known = current_runs(client, number)
        parent = parent_run(client, number, experiment["name"], known)
        runs = {}
        for run, values in parameters.items():
            config = experiment_file.parent / "runs" / run / "config.yaml"
            runs[run] = child_run(
                client, number, parent, run, *_configured(values, config if config.exists() else None), known
            )
        client.log_artifact(parent, str(experiment_file), "experiment")
    tracking = Tracking(uri, number, parent, runs, parameters, list(experiment["data"]["benchmarks"]))
    write_json(out, asdict(tracking))
    return tracking


def run_in_force(client: "MlflowClient", tracking: Tracking, run: str, config: Path | None) -> str:
    """The id of the run that stands for ``run`` now; with a configuration, the one that belongs to it.

    Raises:
        UserError: the experiment has no such run.
    """
    tracking.run_id(run)
    known = current_runs(client, tracking.experiment_id)
    parameters, sha = _configured(tracking.parameters[run], config)
    return child_run(client, tracking.experiment_id, tracking.parent_run_id, run, parameters, sha, known)


def attach(tracking_file: Path, run: str, config: Path) -> dict[str, str]:
    """The environment in which verl logs into the run of a cell.

    Where the run was made for another configuration (``auto`` now means another layer, an override has
    changed), verl would drop MLflow at the first parameter that differs; a fresh run then takes its place.

    Args:
        tracking_file: ``tracking.json``.
        run: ``<model>/<cell>/seed<s>``.
        config: the file of the cell's composed configuration.

    Returns:
        ``MLFLOW_TRACKING_URI`` (with an absolute path), ``MLFLOW_RUN_ID``, and what keeps MLflow from sending
        usage data.

    Raises:
        UserError: no such tracking file or run.
    """
    tracking = read_tracking(tracking_file)
    with open_store(tracking.uri) as client:
        number = run_in_force(client, tracking, run, config)
    return {
        "MLFLOW_TRACKING_URI": absolute_uri(tracking.uri),
        "MLFLOW_RUN_ID": number,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _configured(parameters: dict[str, str], config: Path | None) -> tuple[dict[str, str], str | None]:
    if config is None:
        return parameters, None
    values = read_yaml(config)
    return with_config(parameters, values), config_sha256(values)

"""Parent and child runs, found again by their tags; a run whose parameters no longer hold is set aside.

MLflow parameters cannot be changed, and verl goes on without MLflow, with no more than a warning, when one
that it logs is there with another value. A child run therefore belongs to one configuration: when the grid
point or the hash of the composed configuration has changed, the old run is tagged as superseded and a fresh
one takes its place.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bupo.tracking.address import artifact_location

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ROLE, RUN, SUPERSEDED, CONFIG = "bupo.role", "bupo.run", "bupo.superseded", "bupo.config_sha256"
PARENT_RUN = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
# verl names its parameters by the path in its configuration, joined with "/"; a name with a dot and no slash
# cannot be one of them, nor a top-level key that Hydra could set.
PREFIX = "cell."


def experiment_id(client: "MlflowClient", uri: str, name: str, description: str = "") -> str:
    """The MLflow experiment called ``name``: found, restored if it was deleted in the UI, or created."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            number = client.create_experiment(name, artifact_location=artifact_location(uri, name))
        except MlflowException:
            # On a server another process can be first; on sqlite the lock excludes it.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
            number = found.experiment_id
    else:
        number = found.experiment_id
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(number)
    if description and (found is None or found.tags.get(NOTE) != description):
        client.set_experiment_tag(number, NOTE, description)
    return number


def current_runs(client: "MlflowClient", experiment: str, name: str | None = None) -> dict[str, "Run"]:
    """Every run in force, by ``<model>/<cell>/seed<s>``; the grid's own run is under ``parent``.

    Args:
        client: an open store's client.
        experiment: MLflow's experiment id.
        name: only this run, without reading thousands of others.
    """
    asked = f"tags.`{ROLE}` != ''" if name is None else f"tags.`{RUN}` = '{name}'"
    runs: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], asked, order_by=["attributes.start_time ASC"], page_token=token
        )
        for run in page:
            if SUPERSEDED not in run.data.tags:
                runs[run.data.tags[RUN]] = run
        token = page.token
        if not token:
            return runs


def parent_run(client: "MlflowClient", experiment: str, name: str, known: Mapping[str, "Run"]) -> str:
    """The id of the grid's parent run, created where there is none."""
    if "parent" in known:
        return known["parent"].info.run_id
    run = client.create_run(experiment, tags={ROLE: "grid", RUN: "parent"}, run_name=f"{name} (grid)")
    return run.info.run_id


def child_run(
    client: "MlflowClient",
    experiment: str,
    parent: str,
    name: str,
    parameters: Mapping[str, str],
    config_sha256: str | None,
    known: Mapping[str, "Run"],
) -> str:
    """The id of the run for ``name``, with ``parameters`` logged: the one in force, or a fresh one.

    Args:
        client: an open store's client.
        experiment: MLflow's experiment id.
        parent: the parent's run id.
        name: ``<model>/<cell>/seed<s>``.
        parameters: what the UI compares cells by, see `cell_parameters`.
        config_sha256: hash of the composed configuration, once there is one.
        known: the runs in force (`current_runs`).
    """
    run = known.get(name)
    if run is not None and _clashes(run, parameters, config_sha256):
        client.set_tag(run.info.run_id, SUPERSEDED, "true")
        client.update_run(run.info.run_id, name=f"{name} (superseded)")
        if run.info.status in ("RUNNING", "SCHEDULED"):
            client.set_terminated(run.info.run_id, "KILLED")
        run = None
    if run is None:
        run = client.create_run(experiment, tags={ROLE: "cell", RUN: name, PARENT_RUN: parent}, run_name=name)
        # Nothing runs yet: verl sets RUNNING when it attaches.
        client.update_run(run.info.run_id, status="SCHEDULED")
    number = run.info.run_id
    if config_sha256 is not None and run.data.tags.get(CONFIG) != config_sha256:
        client.set_tag(number, CONFIG, config_sha256)
    fresh = {key: value for key, value in parameters.items() if key not in run.data.params}
    if fresh:
        from mlflow.entities import Param

        client.log_batch(number, params=[Param(key, value) for key, value in fresh.items()])
    return number


def _clashes(run: "Run", parameters: Mapping[str, str], config_sha256: str | None) -> bool:
    logged = run.data.params
    if any(logged.get(key, value) != value for key, value in parameters.items()):
        return True
    tagged = run.data.tags.get(CONFIG)
    return config_sha256 is not None and tagged is not None and tagged != config_sha256


def cell_parameters(cell: Mapping[str, Any]) -> dict[str, str]:
    """What the UI compares cells by: the grid point.

    A cell without an internal policy has layer ``final`` and 0 iterative steps, so that every trained cell
    has a place on each axis of the UI's parallel coordinates.

    Args:
        cell: an entry of ``cells`` in experiment.yaml.
    """
    requested = cell.get("layer")
    values: dict[str, Any] = {
        "model": cell["model"],
        "name": cell["cell"],
        "method": cell["method"],
        "layer_requested": "final" if requested is None else requested,
        "iterative_steps": cell.get("iterative_steps") or 0,
        "seed": cell["seed"],
        "train_set": cell["train_set"],
        "steps": cell["steps"],
    }
    if requested != "auto":
        values["layer"] = values["layer_requested"]
        values["policy"] = policy_name(values["layer"])
    if cell.get("learning_rate") is not None:
        values["lr"] = float(cell["learning_rate"])
    return {PREFIX + key: str(value) for key, value in values.items()}


def policy_name(layer: Any) -> str:
    """The policy of the first phase: ``layer 03``, or ``full``.

    The UI's parallel coordinates take the column ``layer`` for numbers and leave out the runs that have none;
    names, of one width so that they sort as the numbers do, keep them all.
    """
    return f"layer {int(layer):02d}" if str(layer).isdigit() else "full"


def with_config(parameters: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """``parameters`` of a cell and what its composed configuration adds: the layer, the learning rate."""
    added = {PREFIX + "lr": str(float(config["actor_rollout_ref"]["actor"]["optim"]["lr"]))}
    if parameters[PREFIX + "layer_requested"] == "auto":
        added[PREFIX + "layer"] = str(config["bupo"]["layer"])
        added[PREFIX + "policy"] = policy_name(config["bupo"]["layer"])
    return {**parameters, **added}


def base_parameters(model: str) -> dict[str, str]:
    """The same parameters for a model as it is before training."""
    values = {
        "model": model,
        "name": "base",
        "method": "base",
        "layer_requested": "none",
        "layer": "none",
        "policy": policy_name("none"),
        "iterative_steps": "0",
        "seed": "0",
        "train_set": "none",
        "steps": "0",
    }
    return {PREFIX + key: value for key, value in values.items()}

"""MLflow: creation without a race, runs found again, attachment by verl."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
import yaml
from grid_files import AUTO, GRPO, cell, write_config, write_experiment

from bupo.tracking.grid import init, read_tracking, run_in_force
from bupo.tracking.runs import PREFIX, current_runs
from bupo.tracking.store import open_store


def _init_at(start: float, uri: str, experiment: Path, out: Path) -> None:
    time.sleep(max(0.0, start - time.time()))
    init(experiment, uri, out)
    os._exit(0)


def test_ten_processes_at_once_on_a_fresh_database(tmp_path):
    # Imported once, here, so that the ten reach the database at the same moment.
    pytest.importorskip("mlflow.store.tracking.sqlalchemy_store")
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    # Half of them make the same experiment, the others one each.
    names = ["shared"] * 5 + [f"own{n}" for n in range(5)]
    files = [write_experiment(tmp_path / name, [cell("grpo")]) for name in names]
    context = multiprocessing.get_context("fork")
    start = time.time() + 0.5
    outs = [tmp_path / f"tracking-{n}.json" for n in range(10)]
    processes = [
        context.Process(target=_init_at, args=(start, uri, experiment, out))
        for experiment, out in zip(files, outs, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 10
    shared = [read_tracking(out) for out in outs[:5]]
    assert len({(t.experiment_id, t.parent_run_id, t.runs["tiny/grpo/seed1"]) for t in shared}) == 1
    assert len({read_tracking(out).experiment_id for out in outs}) == 6
    with open_store(uri) as client:
        for out in outs:
            assert len(current_runs(client, read_tracking(out).experiment_id)) == 3
    assert not list((tmp_path / "mlflow").glob(".*.new"))


def test_a_killed_creation_leaves_no_database(tmp_path):
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    # What a kill in the middle of the migrations leaves.
    path.with_name(".mlflow.db.new").write_bytes(b"half")
    with open_store(f"sqlite:///{path}") as client:
        assert client.get_experiment("0").name == "Default"
    assert path.exists() and not path.with_name(".mlflow.db.new").exists()


def test_init_again_finds_the_runs_and_a_new_cell_adds_one(grid, tmp_path):
    uri, experiment, first = grid
    out = experiment.parent / "tracking.json"
    again = init(experiment, uri, out)
    assert again == first == read_tracking(out)
    write_experiment(experiment.parent, [cell("grpo"), cell("bupo-kauto-s4", "auto"), cell("bupo-k2-s4", 2)])
    third = init(experiment, uri, out)
    assert {**first.runs, "tiny/bupo-k2-s4/seed1": third.runs["tiny/bupo-k2-s4/seed1"]} == third.runs
    with open_store(uri) as client:
        parent = client.get_run(third.parent_run_id)
        children = [r for name, r in current_runs(client, third.experiment_id).items() if name != "parent"]
        assert {r.data.tags["mlflow.parentRunId"] for r in children} == {third.parent_run_id}
        assert {r.info.status for r in children} == {"SCHEDULED"}
        assert len(children) == 4
        assert [f.path for f in client.list_artifacts(parent.info.run_id, "experiment")] == [
            "experiment/experiment.yaml"
        ]
        where = Path(parent.info.artifact_uri.removeprefix("file://"))
    assert where.is_relative_to(tmp_path / "results" / "mlflow" / "artifacts" / "demo")


def test_parameters_compare_cells_and_show_requested_and_resolved_layer(grid):
    uri, experiment, _ = grid
    config = write_config(experiment.parent, AUTO, layer=3, lr=1e-6)
    tracking = init(experiment, uri, experiment.parent / "tracking.json")
    with open_store(uri) as client:
        values = {run: client.get_run(number).data.params for run, number in tracking.runs.items()}
    assert values[AUTO] == {
        "cell.model": "tiny",
        "cell.name": "bupo-kauto-s4",
        "cell.method": "bupo",
        "cell.layer_requested": "auto",
        "cell.layer": "3",
        "cell.policy": "layer 03",
        "cell.iterative_steps": "4",
        "cell.seed": "1",
        "cell.train_set": "arithmetic",
        "cell.steps": "12",
        "cell.lr": "1e-06",
    }
    assert (values[GRPO]["cell.layer"], values[GRPO]["cell.iterative_steps"]) == ("final", "0")
    assert values["tiny/base/seed0"]["cell.method"] == "base"
    with open_store(uri) as client:
        assert run_in_force(client, tracking, AUTO, config) == tracking.runs[AUTO]


def test_parameter_names_cannot_be_verls():
    import importlib.util

    spec = importlib.util.find_spec("verl")
    tree = Path(spec.submodule_search_locations[0]) / "trainer/config/_generated_ppo_trainer.yaml"

    def names(value, path=()):
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from names(inner, (*path, key))
        else:
            yield "/".join(path)

    logged = set(names(yaml.safe_load(tree.read_text())))
    assert "trainer/total_training_steps" in logged
    assert not [name for name in logged if name.startswith(PREFIX)]
    # verl's separator is a slash, and a top-level Hydra key has no dot.
    assert "/" not in PREFIX and "." in PREFIX

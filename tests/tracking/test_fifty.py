"""Fifty trainings begin and end at once: on a sqlite database that is there already, and on PostgreSQL."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest
from grid_files import cell, write_config, write_experiment
from mirror_cases import expected, history, names_of_runs, train
from servers import PASSWORD, Server, postgres, postgres_programs, running

from bupo.tracking.grid import init
from bupo.tracking.store import open_store

pytestmark = pytest.mark.slow
PROCESSES, STEPS = 50, range(1, 13)


def _train_at(start: float, folder: Path, run: str, errors: Path) -> None:
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    time.sleep(max(0.0, start - time.time()))
    half = len(STEPS) // 2
    assert train(folder, run, STEPS[:half], "KILLED", within_s=300) == 0
    assert train(folder, run, STEPS[half - 1 :], within_s=300) == 0


def fifty_at_once(folder: Path, uri: str) -> None:
    cells = [cell(f"bupo-k{n}-s4", n) for n in range(1, PROCESSES + 1)]
    experiment = write_experiment(folder, cells)
    names = [f"tiny/{one['cell']}/seed1" for one in cells]
    for name in names:
        write_config(folder, name)
    # their processes are forked from one that has imported MLflow and opened nothing
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "mirror_cases"])
    first = context.Process(target=init, args=(experiment, uri, folder / "tracking.json"))
    first.start()
    first.join(300)
    assert first.exitcode == 0
    start = time.time() + 5
    errors = [folder / f"errors-{number}" for number in range(PROCESSES)]
    processes = [
        context.Process(target=_train_at, args=(start, folder, name, file))
        for name, file in zip(names, errors, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(540)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert [file.read_text() for file in errors] == [""] * PROCESSES
    tracking = init(experiment, uri, folder / "tracking.json")
    for name in names:
        assert history(tracking, name) == expected(STEPS), name
    assert set(names_of_runs(tracking).values()) == {1}
    with open_store(uri) as client:
        found = client.search_runs([tracking.experiment_id], "tags.`bupo.role` = 'cell'", max_results=200)
        trained = [run for run in found if "/base/" not in run.info.run_name]
    assert {run.info.status for run in trained} == {"FINISHED"} and len(trained) == PROCESSES
    assert all(run.data.params["actor_rollout_ref/actor/optim/lr"] == "5e-05" for run in trained)


def test_fifty_trainings_on_one_sqlite_database(uri, tmp_path):
    fifty_at_once(tmp_path / "results" / "grid", uri)


def test_fifty_trainings_on_a_server_with_postgresql(tmp_path):
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server (initdb, and runuser for root) is not installed")
    with postgres(programs) as store, running(Server(store, tmp_path, {"PGPASSWORD": PASSWORD})) as server:
        fifty_at_once(tmp_path / "grid", server.address)
        commands = " ".join(
            path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if path.exists()
        )
        assert "bupo-postgres" in commands and PASSWORD not in commands
        said = server.log.read_text()
    assert f"store {store}" in said and PASSWORD not in said

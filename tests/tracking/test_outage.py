"""The tracker goes away, at the start and in the middle, and comes back: a real server that is killed."""

import shutil

import pytest
from grid_files import GRPO, cell, write_config, write_experiment
from mirror_cases import expected, history, mirror, names_of_runs, train, values, wait_until, write_metrics
from servers import Server, running

from bupo.errors import UserError
from bupo.tracking import store
from bupo.tracking.grid import init, read_tracking
from bupo.tracking.tree import finish

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("bupo.tracking.mirror.PERIOD_S", 0.1)
    monkeypatch.setattr("bupo.tracking.mirror.LONGEST_PAUSE_S", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")


@pytest.fixture(scope="module")
def one_server(fresh_database, tmp_path_factory):
    """It takes a while to start: the tests have it one after the other, each with an experiment of its own."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(fresh_database, folder / "mlflow.db")
    with running(Server(f"sqlite:///{folder}/mlflow.db", folder)) as server:
        yield server


@pytest.fixture
def server(one_server):
    if not one_server.answers():
        one_server.start()
    return one_server


@pytest.fixture
def folder(server, tmp_path, request):
    folder = tmp_path / request.node.name
    write_experiment(folder, [cell("grpo")])
    return folder


@pytest.fixture
def tracking(server, folder):
    return init(folder / "experiment.yaml", server.address, folder / "tracking.json")


def test_a_server_killed_in_the_middle_has_every_step_once_afterwards(server, folder, tracking, capfd):
    write_config(folder, GRPO)
    running = mirror(folder, GRPO)
    running.start()
    for step in (1, 2):
        running.log(step, values(step))
    wait_until(lambda: history(tracking, GRPO) == expected((1, 2)))
    server.kill()
    for step in (3, 4, 5):
        running.log(step, values(step))
    wait_until(lambda: running._told)
    server.start()
    running.log(6, values(6))
    wait_until(lambda: history(tracking, GRPO) == expected(range(1, 7)))
    assert running.close("FINISHED") == 0
    assert history(tracking, GRPO) == expected(range(1, 7))
    assert names_of_runs(tracking)[GRPO] == 1
    told = capfd.readouterr().err
    assert told.count("MLflow: away") == 1 and told.count("MLflow: there again") == 1


def test_a_server_away_from_the_start_to_the_end_gets_all_by_finish(server, folder, tracking, monkeypatch):
    write_config(folder, GRPO)
    server.kill()
    assert train(folder, GRPO, (1, 2, 3), within_s=2.0) == 3
    write_metrics(folder / "runs" / GRPO / "metrics.jsonl", (1, 2, 3))
    monkeypatch.setattr(store, "PAUSE_S", 0.1)
    with pytest.raises(UserError, match=rf"{server.address}: the tracking cannot be reached"):
        finish(folder / "tracking.json", folder / "experiment.yaml", None)
    server.start()
    for _ in range(2):
        finish(folder / "tracking.json", folder / "experiment.yaml", None)
    assert history(tracking, GRPO) == expected((1, 2, 3))
    assert names_of_runs(tracking)[GRPO] == 1


def test_a_grid_that_begins_without_its_server_is_logged_when_that_is_there(
    server, folder, monkeypatch, capfd
):
    file = folder / "tracking.json"
    write_config(folder, GRPO)
    server.kill()
    monkeypatch.setattr(store, "PAUSE_S", 0.1)
    init(folder / "experiment.yaml", server.address, file)
    told = capfd.readouterr().err
    assert told.startswith("warning: ") and told.count("\n") == 1
    running = mirror(folder, GRPO)
    running.start()
    running.log(1, values(1))
    wait_until(lambda: running._told)
    server.start()
    # the runs are made by one process, not by whichever training comes first
    made = init(folder / "experiment.yaml", server.address, file)
    wait_until(lambda: history(made, GRPO) == expected((1,)))
    assert running.close("FINISHED") == 0
    finish(file, folder / "experiment.yaml", None)
    assert names_of_runs(made)[GRPO] == 1


def test_finish_makes_the_runs_that_were_never_made(server, folder, monkeypatch):
    write_config(folder, GRPO)
    server.kill()
    monkeypatch.setattr(store, "PAUSE_S", 0.1)
    init(folder / "experiment.yaml", server.address, folder / "tracking.json")
    assert not read_tracking(folder / "tracking.json").complete
    assert train(folder, GRPO, (1, 2), within_s=1.0) == 2
    write_metrics(folder / "runs" / GRPO / "metrics.jsonl", (1, 2))
    server.start()
    finish(folder / "tracking.json", folder / "experiment.yaml", None)
    made = read_tracking(folder / "tracking.json")
    assert made.complete and history(made, GRPO) == expected((1, 2))

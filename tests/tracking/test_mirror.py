"""The thread that brings a training's metrics into MLflow, on sqlite."""

import sqlite3
import threading

import pytest
import yaml
from grid_files import AUTO, GRPO, write_config
from mirror_cases import (
    expected,
    history,
    mirror,
    names_of_runs,
    train,
    values,
    wait_until,
    write_metrics,
)

from bupo.tracking.grid import Tracking, init
from bupo.tracking.mirror import verl_parameters
from bupo.tracking.runs import PREFIX, SUPERSEDED, current_runs
from bupo.tracking.store import open_store


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("bupo.tracking.mirror.PERIOD_S", 0.05)


@pytest.fixture
def folder(grid):
    return grid[1].parent


def test_metrics_arrive_while_the_training_goes_on(grid, folder):
    _, _, tracking = grid
    running = mirror(folder, GRPO)
    running.start()
    for step in (1, 2, 3):
        running.log(step, values(step))
        wait_until(lambda step=step: history(tracking, GRPO)[-1:] == expected([step]))
    with open_store(tracking.uri) as client:
        assert client.get_run(tracking.runs[GRPO]).info.status == "RUNNING"
    assert running.close("FINISHED") == 0
    with open_store(tracking.uri) as client:
        run = client.get_run(tracking.runs[GRPO])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["val/acc_at_8"] == 0.5
    assert run.data.params["actor_rollout_ref/actor/optim/lr"] == "5e-05"
    assert run.data.params["cell.method"] == "grpo"


def test_parameters_have_verls_names():
    tracking = pytest.importorskip("verl.utils.tracking")
    config = {
        "data": {"files": ["a", {"b": 1}], "empty": [], "none": None, "size": 8},
        "trainer": {"logger": [], "resume": True, "lr": 1e-6, "nothing": {}},
    }
    theirs = tracking._compute_mlflow_params_from_objects(config)
    assert verl_parameters(config) == {key: str(value) for key, value in theirs.items()}
    assert not [name for name in theirs if name.startswith(PREFIX)]


def test_a_resumed_training_has_one_run_and_every_step_once(grid, folder):
    _, _, tracking = grid
    assert train(folder, AUTO, (1, 2, 3), "KILLED") == 0
    with open_store(tracking.uri) as client:
        assert client.get_run(tracking.runs[AUTO]).info.status == "KILLED"
    # the checkpoint was of step 2: the third is trained again, and 4 was lost on its way to MLflow
    write_metrics(folder / "runs" / AUTO / "metrics.jsonl", (1, 2))
    assert train(folder, AUTO, (3, 4, 5)) == 0
    assert history(tracking, AUTO) == expected(range(1, 6))
    assert names_of_runs(tracking)[AUTO] == 1
    with open_store(tracking.uri) as client:
        assert client.get_run(tracking.runs[AUTO]).info.status == "FINISHED"


def test_another_configuration_gets_a_fresh_run(grid, folder):
    _, _, tracking = grid
    assert train(folder, AUTO, (1, 2)) == 0
    write_config(folder, AUTO, layer=4)
    assert train(folder, AUTO, (1,)) == 0
    with open_store(tracking.uri) as client:
        old = client.get_run(tracking.runs[AUTO])
        new = current_runs(client, tracking.experiment_id, AUTO)[AUTO]
        points = client.get_metric_history(new.info.run_id, "critic/score/mean")
    assert old.data.tags[SUPERSEDED] == "true" and old.info.run_name == f"{AUTO} (superseded)"
    assert new.info.run_id != old.info.run_id and new.data.params["cell.layer"] == "4"
    assert [point.step for point in points] == [1]
    assert history(tracking, AUTO) == expected((1, 2))


def test_what_is_no_part_of_a_runs_identity_gives_no_fresh_run(grid, folder):
    _, _, tracking = grid
    config = write_config(folder, AUTO)
    for bupo in ({"layer": 3}, {"snapshot_every": 4, "time_limit_s": 60, "layer": 3}):
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "bupo": bupo}))
        assert train(folder, AUTO, (1,)) == 0
    assert names_of_runs(tracking)[AUTO] == 1 and history(tracking, AUTO) == expected((1,))


def test_a_locked_database_only_delays(grid, folder):
    uri, _, tracking = grid
    held = sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    running = mirror(folder, GRPO)
    running.start()
    for step in range(1, 6):
        running.log(step, values(step))
    assert running.close("FINISHED", within_s=0.5) == 5
    held.execute("COMMIT")
    held.close()
    wait_until(lambda: not running._thread.is_alive())
    assert history(tracking, GRPO) == expected(range(1, 6))


def test_a_broken_store_is_told_once_and_breaks_nothing(grid, folder, tmp_path, capfd):
    database = tmp_path / "results" / "mlflow" / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(b"this is no database" * 100)
    running = mirror(folder, GRPO)
    running.start()
    running.log(1, values(1))
    wait_until(lambda: running._told)
    assert running.close("FINISHED", within_s=3.0) == 1
    assert capfd.readouterr().err.count("MLflow: away") == 1
    database.write_bytes(whole)
    wait_until(lambda: not running._thread.is_alive())


def test_steps_logged_by_another_process_meanwhile_are_not_logged_again(grid, folder):
    _, _, tracking = grid
    threads = [threading.Thread(target=train, args=(folder, GRPO, range(1, 9))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history(tracking, GRPO) == expected(range(1, 9))
    assert names_of_runs(tracking)[GRPO] == 1


def test_the_machine_is_measured_and_a_resumed_job_counts_on(grid, folder, monkeypatch):
    _, _, tracking = grid
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.02")
    memory, ends = "system/system_memory_usage_megabytes", []
    for _ in range(2):
        running = mirror(folder, GRPO, measure=True)
        running.start()
        wait_until(lambda: len(history(tracking, GRPO, memory)) >= (ends[-1] if ends else 0) + 3)
        assert running.close("KILLED") == 0
        ends.append(len(history(tracking, GRPO, memory)))
    points = history(tracking, GRPO, memory)
    assert [step for step, _ in points] == list(range(ends[-1])) and ends[1] > ends[0]
    assert all(value > 0 for _, value in points)


def test_a_run_made_by_init_again_is_the_same(grid, folder):
    uri, experiment, tracking = grid
    assert train(folder, GRPO, (1, 2)) == 0
    assert init(experiment, uri, folder / "tracking.json").runs == tracking.runs
    assert isinstance(tracking, Tracking) and names_of_runs(tracking)[GRPO] == 1

"""MLflow: creation without a race, runs found again, parameters and metrics, attachment by verl."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import pytest
import yaml

from bupo.errors import UserError
from bupo.tracking.grid import attach, init, read_tracking
from bupo.tracking.log import Results, evaluation_metrics, log_report, log_results
from bupo.tracking.names import metric_name
from bupo.tracking.runs import PREFIX, SUPERSEDED, current_runs
from bupo.tracking.store import absolute_uri, database_path, open_store

GRPO, AUTO = "tiny/grpo/seed1", "tiny/bupo-kauto-s4/seed1"


def cell(name, layer=None, seed=1):
    return {
        "cell": name,
        "model": "tiny",
        "method": name.split("-")[0],
        "train_set": "arithmetic",
        "layer": layer,
        "iterative_steps": None if layer is None else 4,
        "learning_rate": None,
        "seed": seed,
        "steps": 12,
    }


def write_experiment(folder: Path, cells) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    value = {
        "name": folder.name,
        "description": "A test.",
        "models": {"train": ["tiny"], "analyse": ["tiny"]},
        "data": {"train": ["arithmetic"], "benchmarks": ["easy", "hard"]},
        "training": {"steps": 12},
        "cells": cells,
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(value))
    return folder / "experiment.yaml"


def write_config(folder: Path, run: str, layer=3, lr=5e-5) -> Path:
    path = folder / "runs" / run / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {"bupo": {"layer": layer}, "actor_rollout_ref": {"actor": {"optim": {"lr": lr}}}, "seed": 1}
    path.write_text(yaml.safe_dump(config))
    return path


def summary(benchmark: str, value: float) -> dict:
    estimate = {"value": value, "low": value - 0.1, "high": value + 0.1}
    return {
        "benchmark": benchmark,
        "n_samples": 8,
        "n_problems": 100,
        "avg_at_n": estimate,
        "pass_at_k": {"1": estimate, "4": {**estimate, "value": 0.9}},
        "maj_at_n": 0.75,
        "truncated_share": 0.02,
        "no_box_share": 0.0,
        "mean_tokens": 20.5,
    }


@pytest.fixture(scope="module")
def fresh_database(tmp_path_factory) -> Path:
    """A migrated database to copy: migrating takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with open_store(f"sqlite:///{path}"):
        pass
    return path


@pytest.fixture
def uri(fresh_database, tmp_path) -> str:
    target = tmp_path / "results" / "mlflow" / "mlflow.db"
    target.parent.mkdir(parents=True)
    target.write_bytes(fresh_database.read_bytes())
    return f"sqlite:///{target}"


@pytest.fixture
def grid(uri, tmp_path):
    folder = tmp_path / "results" / "demo"
    experiment = write_experiment(folder, [cell("grpo"), cell("bupo-kauto-s4", "auto")])
    return uri, experiment, init(experiment, uri, folder / "tracking.json")


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
        "cell.iterative_steps": "4",
        "cell.seed": "1",
        "cell.train_set": "arithmetic",
        "cell.steps": "12",
        "cell.lr": "1e-06",
    }
    assert (values[GRPO]["cell.layer"], values[GRPO]["cell.iterative_steps"]) == ("final", "0")
    assert values["tiny/base/seed0"]["cell.method"] == "base"
    assert attach(experiment.parent / "tracking.json", AUTO, config)["MLFLOW_RUN_ID"] == tracking.runs[AUTO]


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


def test_verl_attaches_without_a_clash_and_again_after_a_restart(grid, monkeypatch):
    uri, experiment, _ = grid
    config_file = write_config(experiment.parent, AUTO)
    mlflow = pytest.importorskip("mlflow")
    Tracking = pytest.importorskip("verl.utils.tracking").Tracking
    config = yaml.safe_load(config_file.read_text())
    ids = set()
    for step in (1, 2):
        environment = attach(experiment.parent / "tracking.json", AUTO, config_file)
        ids.add(environment["MLFLOW_RUN_ID"])
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        tracker = Tracking("ignored", "ignored", ["mlflow"], config)
        assert "mlflow" in tracker.logger, "verl dropped MLflow"
        tracker.log({"critic/score/mean": 0.5 + step / 10, "val/acc@8": 1.0}, step=step)
        tracker.finish()
    mlflow.set_tracking_uri(None)
    assert len(ids) == 1
    with open_store(uri) as client:
        run = client.get_run(ids.pop())
        history = client.get_metric_history(run.info.run_id, "critic/score/mean")
    assert [(p.step, p.value) for p in history] == [(1, 0.6), (2, 0.7)]
    assert run.data.params["cell.method"] == "bupo" and run.data.params["bupo/layer"] == "3"


def test_another_configuration_gets_a_fresh_run(grid):
    uri, experiment, tracking = grid
    file = experiment.parent / "tracking.json"
    first = attach(file, AUTO, write_config(experiment.parent, AUTO, layer=3))["MLFLOW_RUN_ID"]
    second = attach(file, AUTO, write_config(experiment.parent, AUTO, layer=4))["MLFLOW_RUN_ID"]
    assert first == tracking.runs[AUTO] != second
    assert attach(file, AUTO, experiment.parent / "runs" / AUTO / "config.yaml")["MLFLOW_RUN_ID"] == second
    with open_store(uri) as client:
        assert client.get_run(first).data.tags[SUPERSEDED] == "true"
        assert client.get_run(first).info.run_name == f"{AUTO} (superseded)"
        assert client.get_run(second).data.params["cell.layer"] == "4"
        assert current_runs(client, tracking.experiment_id)[AUTO].info.run_id == second


def test_logging_twice_changes_nothing(grid):
    uri, experiment, tracking = grid
    folder = experiment.parent
    files = []
    for name, value in (("easy", 0.8), ("hard", 0.4)):
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(summary(name, value)))
    metrics = folder / "metrics.jsonl"
    metrics.write_text(
        "".join(
            json.dumps({"step": s, "critic/score/mean": s / 10, "val/a@b": 1.0}) + "\n" for s in (1, 2, 3)
        )
    )
    figure = folder / "reward.svg"
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    results = Results(files, write_config(folder, GRPO), metrics, figures=[figure])
    with open_store(uri) as client:
        # MLflow has a step already: the tracker was away for the others.
        client.log_metric(tracking.runs[GRPO], "critic/score/mean", 0.2, step=2)
        number = log_results(client, tracking, GRPO, results)
        assert log_results(client, tracking, GRPO, results) == number == tracking.runs[GRPO]
        run = client.get_run(number)
        score = client.get_metric_history(number, "critic/score/mean")
        easy = client.get_metric_history(number, "eval/easy/pass_at_4")
        artifacts = {
            f.path
            for folder in ("evaluation/easy", "training", "figures")
            for f in client.list_artifacts(number, folder)
        }
    assert sorted((p.step, p.value) for p in score) == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert [(p.step, p.value) for p in easy] == [(12, 0.9)]
    assert run.data.metrics["eval/mean/pass_at_1"] == pytest.approx(0.6)
    assert run.data.metrics["eval/hard/avg_at_8_low"] == pytest.approx(0.3)
    assert run.data.metrics["val/a_at_b"] == 1.0
    assert run.info.status == "FINISHED"
    assert artifacts == {"evaluation/easy/easy.json", "training/config.yaml", "figures/reward.svg"}


def test_a_mean_over_some_of_the_benchmarks_is_not_logged(grid):
    uri, experiment, tracking = grid
    one = experiment.parent / "easy.json"
    one.write_text(json.dumps(summary("easy", 0.8)))
    with open_store(uri) as client:
        number = log_results(client, tracking, GRPO, Results([one]))
        assert "eval/mean/pass_at_1" not in client.get_run(number).data.metrics


def test_the_report_goes_to_the_grids_run(grid, tmp_path):
    uri, _, tracking = grid
    report = tmp_path / "report"
    (report / "figures").mkdir(parents=True)
    with open_store(uri) as client:
        with pytest.raises(UserError, match=r"no index\.html"):
            log_report(client, tracking, report, None)
        (report / "index.html").write_text("<!doctype html>")
        log_report(client, tracking, report, None)
        log_report(client, tracking, report, None)
        assert "report/index.html" in {
            f.path for f in client.list_artifacts(tracking.parent_run_id, "report")
        }
        assert client.get_run(tracking.parent_run_id).info.status == "FINISHED"


def test_metric_names_are_legal():
    from mlflow.utils.validation import _validate_metric_name

    for name in (*evaluation_metrics(summary("aime@24 (I)", 0.5)), metric_name("val/acc@8")):
        _validate_metric_name(name)
    assert evaluation_metrics(summary("easy", 0.5))["eval/easy/pass_at_4"] == 0.9


def test_mistakes_are_told_in_one_sentence(grid, tmp_path):
    _, experiment, _ = grid
    file = experiment.parent / "tracking.json"
    with pytest.raises(UserError, match="no run 'tiny/ppo/seed1'"):
        attach(file, "tiny/ppo/seed1", write_config(tmp_path, GRPO))
    with pytest.raises(UserError, match=r"bupo\.tracking init makes it"):
        read_tracking(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"'mlflow\.db' is not known"):
        init(experiment, "mlflow.db", file)


def test_the_command_line_makes_logs_and_links(grid, monkeypatch, capsys):
    from bupo.tracking.__main__ import main

    uri, experiment, tracking = grid
    folder = experiment.parent
    file = str(folder / "tracking.json")
    for benchmark, value in (("easy", 0.8), ("hard", 0.4)):
        path = folder / "evaluation" / GRPO / benchmark / "summary.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(summary(benchmark, value)))
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text("<!doctype html>")
    stamp = folder / "logged"
    finish = ["finish", "--tracking", file, "--experiment", str(experiment)]
    for arguments in (
        [*finish, "--report", str(folder / "report"), "--stamp", str(stamp)],
        ["link", "--tracking", file, "--address", "http://127.0.0.1:5001"],
    ):
        monkeypatch.setattr("sys.argv", ["bupo.tracking", *arguments])
        main()
    assert stamp.exists()
    printed = capsys.readouterr().out
    assert f"http://127.0.0.1:5001/#/experiments/{tracking.experiment_id}/runs" in printed
    for run, number in tracking.runs.items():
        assert (number in printed) == ("/base/" not in run)
    with open_store(uri) as client:
        assert client.get_run(tracking.runs[GRPO]).data.metrics["eval/mean/pass_at_1"] == pytest.approx(0.6)
        assert client.list_artifacts(tracking.parent_run_id, "report")


def test_the_entropy_analysis_has_the_layer_as_its_step(grid):
    import pandas as pd

    uri, experiment, tracking = grid
    folder = experiment.parent / "entropy" / "tiny"
    folder.mkdir(parents=True)
    rows = [
        ("entropy", "layer", layer, "raw", name, 3.0 - layer) for layer in (1, 2) for name in ("all", "wrong")
    ]
    rows.append(("entropy_change", "ffn", 1, "raw", "all", 0.25))
    names = ["quantity", "policy", "layer", "lens", "slice", "mean"]
    pd.DataFrame(rows, columns=names).to_parquet(folder / "statistics.parquet")
    (folder / "boundary.json").write_text(json.dumps({"boundary_layer": 1}))
    with open_store(uri) as client:
        number = log_results(client, tracking, "tiny/base/seed0", Results(entropy=folder))
        flow = client.get_metric_history(number, "entropy/entropy/layer/raw")
        metrics = client.get_run(number).data.metrics
    assert sorted((p.step, p.value) for p in flow) == [(1, 2.0), (2, 1.0)]
    assert metrics["entropy/boundary_layer"] == 1 and metrics["entropy/entropy_change/ffn/raw"] == 0.25


def test_relative_addresses_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"
    assert absolute_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert database_path("postgresql://host/db") is None

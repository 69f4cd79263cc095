"""MLflow: what is logged of a grid, once, under names that it takes."""

import json
from pathlib import Path

import pytest
from grid_files import GRPO, summary, write_config

from bupo.errors import UserError
from bupo.tracking.grid import init, read_tracking
from bupo.tracking.log import Results, log_report, log_results
from bupo.tracking.names import metric_name
from bupo.tracking.points import evaluation_metrics
from bupo.tracking.store import open_store


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
        read_tracking(file).run_id("tiny/ppo/seed1")
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
    experiment.write_text(experiment.read_text() + "# with another grader\n")
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
    runs = f"http://127.0.0.1:5001/#/experiments/{tracking.experiment_id}/runs"
    assert f"{runs}\n" in printed
    assert f"{runs}?viewStateShareKey=bupo-comparison&compareRunsMode=CHART\n" in printed
    for run, number in tracking.runs.items():
        assert (number in printed) == ("/base/" not in run)
    with open_store(uri) as client:
        assert client.get_run(tracking.runs[GRPO]).data.metrics["eval/mean/pass_at_1"] == pytest.approx(0.6)
        assert client.list_artifacts(tracking.parent_run_id, "report")
        folder = Path(client.get_run(tracking.parent_run_id).info.artifact_uri.removeprefix("file://"))
        assert (folder / "experiment" / experiment.name).read_text() == experiment.read_text()


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

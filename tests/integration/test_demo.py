"""The demo, from nothing to the report, killed without warning on its way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from documented import NOT_RUN, commands_of, runnable

from bupo.files import read_json, read_yaml, sha256_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    (page.name, command)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for command in commands_of(page)
]


@pytest.fixture(scope="module")
def demo(shared_checkout):
    """The demo's results, after a kill in the first model's warm-up and one in the middle of a training."""
    results = shared_checkout.folder / "results/demo"

    def log(name):
        path = results / "logs" / name
        return path.read_text() if path.exists() else ""

    def a_run_has_a_checkpoint_and_is_not_done():
        runs = [path.parents[1] for path in results.glob("runs/*/*/seed1/checkpoints/*")]
        return any(not (run / "done.json").exists() for run in runs)

    shared_checkout.kill_when(lambda: "warm-up" in log("models/tiny_qwen3.log"))
    assert not (results / "models/tiny_qwen3/model.json").exists()
    shared_checkout.kill_when(a_run_has_a_checkpoint_and_is_not_done)
    finished = shared_checkout.run()
    assert finished.returncode == 0, finished.stdout[-4000:]
    return shared_checkout


def test_every_result_is_there(demo):
    results = demo.folder / "results/demo"
    for name in (
        "report/index.html",
        "summary.json",
        "experiment.yaml",
        "tracking.json",
        "data/contamination.json",
    ):
        assert (results / name).stat().st_size > 0, name


def test_a_killed_training_has_every_step_once(demo):
    for metrics in (demo.folder / "results/demo").glob("runs/*/*/seed1/metrics.jsonl"):
        steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
        assert steps == list(
            range(1, read_yaml(metrics.parent / "config.yaml")["trainer"]["total_training_steps"] + 1)
        )


def test_a_killed_training_has_every_snapshot(demo):
    runs = [path.parent for path in (demo.folder / "results/demo").glob("runs/*/*/seed1/done.json")]
    assert len(runs) == 3
    folders = {"4": "snapshots/step-000004", "8": "snapshots/step-000008", "12": "model"}
    for run in runs:
        done = read_json(run / "done.json")
        assert done["snapshots"] == folders
        assert {f"{folder}/model.safetensors" for folder in folders.values()} <= set(done["files"])
        assert all(sha256_file(run / file) == sha for file, sha in done["files"].items())


def test_the_flow_over_the_training_has_the_base_and_every_snapshot_of_every_run(demo):
    results = demo.folder / "results/demo"
    flows = [pd.read_parquet(path) for path in results.glob("entropy/tiny_qwen3/*/seed*/flow.parquet")]
    runs = {flow["run"].iloc[0]: flow for flow in flows}
    cells = ["grpo", "bupo-kauto-s4", "bupo-k5-s4"]
    trained = {
        read_yaml(results / f"runs/tiny_qwen3/{cell}/seed1/config.yaml")["bupo"]["layer"] for cell in cells
    }
    assert set(runs) == {"tiny_qwen3/base/seed0", *(f"tiny_qwen3/{cell}/seed1" for cell in cells)}
    for run, flow in runs.items():
        assert set(flow["run"]) == {run}
        assert set(flow["step"]) == ({0} if "/base/" in run else {4, 8, 12})
        # the layers that are trained first, also the one that `auto` was found to be, are compared in every run
        assert set(flow["anchor"].dropna()) == trained - {None}
        losses = flow[(flow["quantity"] == "nll") & (flow["slice"] == "all")].set_index("step")["mean"]
        assert len(losses) == flow["step"].nunique() and losses.is_unique and (losses > 0).all()


def test_mlflow_has_every_step_of_every_cell_once(demo, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(demo.folder)
    tracking = read_json(demo.folder / "results/demo/tracking.json")
    client = MlflowClient(tracking_uri=tracking["uri"])
    for run, number in tracking["runs"].items():
        history = client.get_metric_history(number, "critic/score/mean")
        assert [point.step for point in history] == ([] if "/base/" in run else list(range(1, 13))), run


def test_grpo_and_bupo_learn(demo):
    summary = read_json(demo.folder / "results/demo/summary.json")
    against_base = [row for row in summary["comparisons"] if row["against"] == "base"]
    assert {row["cell"].split("-")[0] for row in against_base} == {"grpo", "bupo"}
    for row in against_base:
        assert row["difference"]["low"] > 0, f"{row} is not above the base model"


def test_auto_is_the_measured_boundary_or_the_stated_fallback(demo):
    results = demo.folder / "results/demo"
    boundary = read_json(results / "entropy/tiny_qwen3/boundary.json")
    config = read_yaml(results / "runs/tiny_qwen3/bupo-kauto-s4/seed1/config.yaml")["bupo"]
    clear = boundary["status"] == "clear"
    assert config["layer"] == (boundary["boundary_layer"] if clear else 3)
    assert config["layer_evidence"]["status"] == boundary["status"]
    assert config["schedule"] == [{"layer": config["layer"], "steps": 4}, {"layer": "final"}]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {cmd}" for page, cmd in COMMANDS])
def test_a_command_of_the_documentation(demo, page, command):
    where = ROOT if command.startswith("make ") else demo.folder
    (demo.folder / "problems.jsonl").write_text('{"problem": "What is 2 + 3?", "answer": "5"}\n')
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for one in runnable(page, command):
        line = one.replace("make ", "make --dry-run ", 1) if where == ROOT else one
        ran = subprocess.run(
            ["bash", "-c", line], cwd=where, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        # what `bupo doctor` finds hangs on the machine; that it looked is enough
        allowed = (0, 1) if "bupo doctor" in line else (0,)
        assert ran.returncode in allowed, f"{line}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}"


def test_commands_that_are_not_run_are_in_the_documentation():
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for _, command in COMMANDS)


def test_a_second_run_finds_nothing_to_do(demo):
    again = demo.run()
    assert again.returncode == 0 and "Nothing to be done" in again.stdout


def test_a_comment_reruns_nothing_and_a_new_cell_only_itself(demo):
    path = demo.folder / "configs/experiment/demo.yaml"
    path.write_text("# a comment\n" + path.read_text())
    assert "Nothing to be done" in demo.run("--dry-run").stdout
    path.write_text(path.read_text().replace("layer: [auto, ", "layer: [auto, 1, "))
    counts = {
        line.split()[0]: line.split()[1]
        for line in demo.run("--dry-run").stdout.splitlines()
        if len(line.split()) == 2
    }
    assert (counts["train"], counts["evaluate"]) == ("1", "2")
    # its layer is one more that every run of the model is looked at
    assert counts["flow"] == "5"
    assert "model" not in counts and "entropy" not in counts

"""What an experiment's tree leaves in MLflow beside numbers: data sets, answers, the flow, the grid's definition."""

import json
from pathlib import Path

import pandas as pd
import pytest
from grid_files import GRPO, summary

from bupo.files import sha256_file
from bupo.tracking.definition import definition
from bupo.tracking.points import flow_points
from bupo.tracking.store import open_store
from bupo.tracking.tree import finish


@pytest.fixture
def tree(grid) -> Path:
    root = grid[1].parent
    for name in ("arithmetic", "easy"):
        table = root / "data" / "verl" / "tiny" / f"{name}.parquet"
        table.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"name": [name]}).to_parquet(table)
        table.with_suffix(".json").write_text(json.dumps({"kept": 2000}))
        source = {"kind": "generated", "generator": name, "seed": 1}
        (root / "data" / f"{name}.json").write_text(json.dumps({"source": source}))
    normal = root / "data" / "normal" / "easy.parquet"
    normal.parent.mkdir()
    pd.DataFrame({"id": ["a", "b"], "problem": ["1+1?", "2+2?"]}).to_parquet(normal)
    folder = root / "evaluation" / GRPO / "easy"
    folder.mkdir(parents=True)
    recorded = {"benchmark_sha256": "e" * 64, "sampling_sha256": None}
    (folder / "summary.json").write_text(json.dumps(summary("easy", 0.8) | recorded))
    keys = [(name, sample) for name in ("b", "a") for sample in (0, 1)]
    scores = pd.DataFrame(keys, columns=["problem_id", "sample"])
    texts = scores.assign(text=[f"text {name}{sample}" for name, sample in keys])
    texts.to_parquet(folder / "shard-1-of-1-samples-0-1.parquet")
    graded = scores.assign(correct=True, status="correct", answer="2", gold="2", n_tokens=9)
    graded.to_parquet(folder / "scores.parquet")
    flow = root / "entropy" / GRPO / "flow.parquet"
    flow.parent.mkdir(parents=True)
    rows = [("entropy", "layer", 3, "raw", "all", step, 2.0 - step / 10) for step in (4, 8)]
    rows += [("entropy", "layer", 3, "final_norm", "all", 4, 9.0), ("nll", "final", 6, "raw", "all", 4, 0.5)]
    names = ["quantity", "policy", "layer", "lens", "slice", "step", "mean"]
    pd.DataFrame(rows, columns=names).to_parquet(flow)
    done = root / "runs" / GRPO / "done.json"
    done.parent.mkdir(parents=True)
    jobs = [
        {"train_files": {"results/demo/data/verl/tiny/arithmetic.parquet": sha}}
        for sha in ("0" * 64, "7" * 64)
    ]
    done.write_text(json.dumps({"wall_s": 60.0, "jobs": jobs}))
    return root


def test_finish_logs_sets_answers_and_flow_once(grid, tree):
    uri, experiment, tracking = grid
    for _ in range(2):
        finish(tree / "tracking.json", experiment, None)
    with open_store(uri) as client:
        run = client.get_run(tracking.runs[GRPO])
        base = client.get_run(tracking.runs["tiny/base/seed0"])
        flow = client.get_metric_history(run.info.run_id, "flow/entropy/layer_03")
    inputs = {one.dataset.name: one for one in run.inputs.dataset_inputs}
    assert len(run.inputs.dataset_inputs) == 2 and not base.inputs.dataset_inputs
    assert {name: one.tags[0].value for name, one in inputs.items()} == {
        "arithmetic": "training",
        "easy": "evaluation",
    }
    # of the training it is the hash of then, not that of the file now
    trained = inputs["arithmetic"].dataset
    assert trained.digest == "7" * 36 and json.loads(trained.source)["sha256"] == "7" * 64
    assert (json.loads(trained.profile), trained.source_type) == ({"num_rows": 2000}, "generated")
    assert inputs["easy"].dataset.digest == "e" * 36
    assert sorted((point.step, point.value) for point in flow) == [(4, 1.6), (8, 1.2)]
    assert run.data.metrics["flow/nll"] == 0.5
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    table = json.loads((folder / "samples" / "easy.json").read_text())
    assert table["columns"] == ["problem", "gold", "answer", "correct", "status", "n_tokens", "text"]
    assert [(row[0], row[-1]) for row in table["data"]] == [("1+1?", "text a0"), ("2+2?", "text b0")]
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "samples/easy.json", "type": "table"}
    ]
    assert (folder / "entropy" / "flow.parquet").exists()


def test_a_set_whose_hash_was_not_recorded_has_that_of_the_file(grid, tree):
    uri, experiment, tracking = grid
    (tree / "runs" / GRPO / "done.json").write_text(json.dumps({"wall_s": 60.0}))
    finish(tree / "tracking.json", experiment, None)
    with open_store(uri) as client:
        inputs = client.get_run(tracking.runs[GRPO]).inputs.dataset_inputs
    [trained] = [one.dataset for one in inputs if one.dataset.name == "arithmetic"]
    assert trained.digest == sha256_file(tree / "data/verl/tiny/arithmetic.parquet")[:36]


def test_the_grids_run_has_its_definition(grid):
    uri, _, tracking = grid
    with open_store(uri) as client:
        note = client.get_run(tracking.parent_run_id).data.tags["mlflow.note.content"]
    assert note.startswith("A test.\n\n| axis | values |")
    assert "| method | grpo, bupo |" in note and "| layer | —, auto |" in note
    assert "2 runs of 12 steps; benchmarks: easy, hard." in note


def test_an_axis_of_one_value_is_shown():
    cells = [{"model": "m", "method": "grpo", "seed": seed} for seed in (1, 2)]
    told = definition({"cells": cells, "training": {"steps": 3}, "data": {"benchmarks": ["easy"]}})
    assert "| seed | 1, 2 |" in told and "| model | m |" in told and "| layer | — |" in told


def test_of_the_flow_only_layers_through_the_raw_lens_are_metrics(grid, tree):
    points = list(flow_points(tree / "entropy" / GRPO / "flow.parquet"))
    assert [point.key for point in points] == ["flow/entropy/layer_03"] * 2 + ["flow/nll"]

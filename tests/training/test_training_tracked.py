"""A real training whose tracker is away: it ends as any other, and MLflow has its metrics afterwards."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import yaml

from bupo.files import to_yaml, write_json
from bupo.tracking.grid import init
from bupo.tracking.replay import replay
from bupo.tracking.store import open_store

pytestmark = pytest.mark.slow


def test_a_training_without_its_tracker_ends_and_is_replayed(compose, tmp_path):
    config = compose("trainer.total_training_steps=2")
    bupo = config["bupo"]
    cell = {"cell": bupo["cell"], "model": bupo["model"], "seed": bupo["seed"], "method": "grpo", "steps": 2}
    experiment = {
        "name": "tracked",
        "models": {"train": [bupo["model"]]},
        "data": {"benchmarks": ["easy"]},
        "training": {"steps": 2},
        "cells": [
            {**cell, "train_set": "sums", "layer": None, "iterative_steps": None, "learning_rate": None}
        ],
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    uri = f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    tracking = init(tmp_path / "experiment.yaml", uri, tmp_path / "tracking.json")
    run = f"{bupo['model']}/{bupo['cell']}/seed{bupo['seed']}"
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = replace(tracking, uri=f"http://127.0.0.1:{probe.getsockname()[1]}")
    outcomes = {}
    for name, known in (("away", away), ("there", tracking)):
        write_json(tmp_path / f"{name}.json", asdict(known))
        outcomes[name] = subprocess.run(
            [
                *(sys.executable, "-m", "bupo.training", "--config", str(tmp_path / "config.yaml")),
                *("--out", str(tmp_path / name), "--tracking", str(tmp_path / f"{name}.json")),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
            timeout=600,
        )
        assert outcomes[name].returncode == 0, outcomes[name].stderr
        assert (tmp_path / name / "done.json").exists()
    assert "MLflow: 2 steps have not arrived" in outcomes["away"].stderr
    assert "MLflow:" not in outcomes["there"].stderr
    with open_store(uri) as client:
        number = tracking.runs[run]
        assert replay(client, number, tmp_path / "away" / "metrics.jsonl") == []
        points = client.get_metric_history(number, "critic/score/mean")
        data = client.get_run(number).data
    lines = [json.loads(line) for line in (tmp_path / "there" / "metrics.jsonl").read_text().splitlines()]
    assert sorted((point.step, point.value) for point in points) == [
        (line["step"], line["critic/score/mean"]) for line in lines
    ]
    assert data.params["trainer/total_training_steps"] == "2"
    assert "system/cpu_utilization_percentage" in data.metrics
    # the tracker has no say in what is learned
    other = (tmp_path / "away" / "model" / "model.safetensors").read_bytes()
    assert (tmp_path / "there" / "model" / "model.safetensors").read_bytes() == other

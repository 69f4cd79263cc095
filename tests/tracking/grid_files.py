"""Files of a small grid, as the stages before the tracking write them."""

from pathlib import Path

import yaml

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

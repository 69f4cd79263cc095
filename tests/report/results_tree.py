"""A results tree with every file that the report reads, in the stages' own schemas, from a fixed seed."""

import itertools
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from entropy_tables import Tables, flow_table
from results_tree_runs import LAYERS, Scenario, evaluation, logs, problem, training

from bupo.files import write_json, write_text

FLOOR = Scenario(
    skill={"base": -30.0, "grpo": -30.0, "bupo-kauto-s4": -30.0},
    boundary="unclear",
    snapshots=None,
    lenses=("raw",),
    problems=12,
    samples=2,
    description="Every stage on the real files with a tiny untrained model: it shows that they work, not that "
    "a method does.",
)


def make_tree(root: Path, scenario: Scenario | None = None) -> Path:
    """Write ``root/demo`` and return its experiment.yaml."""
    scenario = scenario or Scenario()
    folder = root / "demo"
    cells = [
        _cell(scenario, name, seed) for name in scenario.skill if name != "base" for seed in scenario.seeds
    ]
    _experiment(folder, scenario, cells)
    _data(folder, scenario)
    write_text(folder / f"spec/entropy/{scenario.models[0]}.yaml", "seed: 1\n")
    for number, model in enumerate(scenario.models):
        status = scenario.boundary if number == 0 else "unclear"
        _model(folder, model)
        _entropy(folder, model, 3 if status == "clear" else None, scenario)
    if scenario.snapshots:
        _flow(folder, scenario, cells)
    for number, cell in enumerate(cells):
        training(folder, cell, scenario, number)
    for run in ("base/seed0", *(f"{c['cell']}/seed{c['seed']}" for c in cells)):
        for name, ease in scenario.benchmarks.items():
            evaluation(folder, run, name, ease, scenario)
    if scenario.recorded:
        logs(folder, scenario, cells)
    return folder / "experiment.yaml"


def _cell(scenario: Scenario, name: str, seed: int) -> dict[str, Any]:
    found = re.fullmatch(r"bupo-k(auto|\d+)-s(\d+)", name)
    layer = None if found is None else "auto" if found[1] == "auto" else int(found[1])
    return {
        "cell": name,
        "model": scenario.models[0],
        "method": name.split("-")[0],
        "train_set": "arithmetic",
        "layer": layer,
        "iterative_steps": int(found[2]) if found else None,
        "learning_rate": None,
        "seed": seed,
        "steps": 15,
    }


def _experiment(folder: Path, scenario: Scenario, cells: list[dict[str, Any]]) -> None:
    experiment = {
        "name": "demo",
        "description": scenario.description,
        "seed": 1,
        "models": {"train": [scenario.models[0]], "analyse": list(scenario.models)},
        "data": {
            "train": ["arithmetic"],
            "benchmarks": list(scenario.benchmarks),
            "source": "hub",
            "directory": None,
            "limits": {},
            "spare": [],
            "max_prompt_tokens": 64,
        },
        "training": {"engine": "cpu", "steps": 15, "overrides": []},
        "auto_layer": {"fallback": 2},
        "expected_seconds": {},
        "analysis": {"settings": "demo", "problems": "arithmetic_easy", "snapshots": scenario.snapshots},
        "evaluation": {
            "settings": "demo",
            "samples": scenario.samples,
            "temperature": 1.0,
            "top_p": 1.0,
            "max_new_tokens": 48,
            "pass_at_k": [1, 2, 4, 8],
            "bootstrap": {"resamples": 2000, "level": 0.95},
        },
        "cells": cells,
        "mlflow": {"uri": "sqlite:///results/mlflow/mlflow.db"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))


def _data(folder: Path, scenario: Scenario) -> None:
    (folder / "data" / "normal").mkdir(parents=True)
    for name, count, role in (
        ("arithmetic", 512, "train"),
        *((name, scenario.problems, "benchmark") for name in scenario.benchmarks),
    ):
        pd.DataFrame([problem(name, n) for n in range(count)]).to_parquet(
            folder / "data" / "normal" / f"{name}.parquet"
        )
        dropped = 3 if role == "train" else 0
        report = {
            "set": name,
            "role": role,
            "source": {"kind": "generated", "generator": "arithmetic", "split": role, "seed": 1},
            "rows": {
                "upstream": count + dropped,
                "not_selected": 0,
                "minus": 0,
                "dropped": dropped,
                "over_limit": 0,
                "kept": count,
            },
            "repairs": {"problem": {}, "answer": {}},
            "reasons": {"duplicate": dropped} if dropped else {},
            "gold": {"integer": count},
            "dropped": [{"file": "x", "row": n, "reason": "duplicate of y"} for n in range(dropped)],
            "duplicates": [],
            "unreadable": [],
        }
        write_json(folder / "data" / f"{name}.json", report)
    export = {"set": "arithmetic", "prompt": "plain", "rows": 2000, "kept": 1988, "left_out": []}
    problems = pd.DataFrame([problem("arithmetic_easy", n) for n in range(scenario.problems)])
    table = folder / "data/verl" / scenario.models[0] / "arithmetic_easy.parquet"
    table.parent.mkdir(parents=True)
    problems.to_parquet(table)
    reasons = {"prompt longer than 64 tokens": 10, "leak": 2}
    write_json(folder / "data/verl" / scenario.models[0] / "arithmetic.json", {**export, "reasons": reasons})
    pairs = [
        {
            "train": "arithmetic",
            "benchmark": name,
            "problems": scenario.problems,
            "inside": inside,
            "exact": inside,
            "overlap": 0,
            "reworded": 4 + inside,
            "lookalike": 5,
            "removed": inside,
            "told": f"{inside} of the {scenario.problems} problems of {name} are in arithmetic.",
        }
        for name, inside in zip(scenario.benchmarks, itertools.cycle((0, 2)))
    ]
    write_json(
        folder / "data" / "contamination.json",
        {"rule": {}, "pairs": pairs, "leaks": [], "review": [], "lookalikes": []},
    )


def _model(folder: Path, model: str) -> None:
    architecture = model.removeprefix("tiny_")
    write_json(
        folder / "models" / model / "model.json",
        {
            "name": model,
            "path": f"results/demo/models/{model}",
            "revision": None,
            "architecture": architecture,
            "layers": LAYERS,
            "hidden_size": 128,
            "vocab_size": 64,
            "parameters": 1_190_000,
            "prompt": "plain",
            "sha256": {"model.safetensors": "ab" * 32},
        },
    )


def _entropy(folder: Path, model: str, boundary: int | None, scenario: Scenario) -> None:
    tables = Tables(model, LAYERS, boundary, problems=48, lenses=scenario.lenses, seed=len(model))
    target = folder / "entropy" / model
    target.mkdir(parents=True)
    tables.statistics.to_parquet(target / "statistics.parquet")
    write_json(target / "boundary.json", {**tables.boundary, "problem_files": ["arithmetic_easy.parquet"]})


def _flow(folder: Path, scenario: Scenario, cells: list[dict[str, Any]]) -> None:
    runs = [("base", 0, [0]), *((cell["cell"], cell["seed"], [4, 8, 12, 15]) for cell in cells)]
    for number, (cell, seed, steps) in enumerate(runs):
        target = folder / "entropy" / scenario.models[0] / cell / f"seed{seed}"
        target.mkdir(parents=True)
        table = flow_table(scenario.models[0], cell, seed, LAYERS, steps, pace=0.05 * number, problems=48)
        table.to_parquet(target / "flow.parquet")

"""A results tree with every file that the report reads, in the stages' own schemas, from a fixed seed.

The scores come from a small simulation (each problem has a difficulty, each run a skill), so that intervals, pass@k
and verdicts hang together as they do in real results.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bupo.files import sha256_file, write_json

BENCHMARKS = {"arithmetic_easy": 1.2, "arithmetic_hard": -0.4}
MODELS = ("tiny_qwen3", "tiny_llama")
LAYERS = 6


@dataclass(frozen=True)
class Scenario:
    """What the tree shows.

    Attributes:
        skill: log-odds that each cell adds to the base's; ``base`` is the base itself.
        boundary: status of the boundary layer of the trained model.
        problems, samples: size of each benchmark.
    """

    skill: dict[str, float] = field(
        default_factory=lambda: {"base": 0.0, "grpo": 0.7, "bupo-kauto-s4": 0.95, "bupo-k2-s4": 0.6}
    )
    boundary: str = "clear"
    problems: int = 100
    samples: int = 8
    seeds: tuple[int, ...] = (1,)
    description: str = (
        "Arithmetic word problems, a six-layer Qwen3 made here and warmed up on worked solutions: "
        "the whole pipeline on two cores."
    )


FLOOR = Scenario(
    skill={"base": -30.0, "grpo": -30.0, "bupo-kauto-s4": -30.0},
    boundary="unclear",
    problems=12,
    samples=2,
    description="Every stage on the real files with a tiny untrained model: it shows that they work, not that "
    "a method does.",
)


def make_tree(root: Path, scenario: Scenario | None = None) -> Path:
    """Write ``root/demo`` and return its experiment.yaml."""
    scenario = scenario or Scenario()
    folder = root / "demo"
    cells = [_cell(name, seed) for name in scenario.skill if name != "base" for seed in scenario.seeds]
    _experiment(folder, scenario, cells)
    _data(folder, scenario)
    for number, model in enumerate(MODELS):
        status = scenario.boundary if number == 0 else "unclear"
        _model(folder, model)
        _entropy(folder, model, status, boundary=3 - number)
    for number, cell in enumerate(cells):
        _training(folder, cell, scenario, number)
    for run in ("base/seed0", *(f"{c['cell']}/seed{c['seed']}" for c in cells)):
        for name, ease in BENCHMARKS.items():
            _evaluation(folder, run, name, ease, scenario)
    return folder / "experiment.yaml"


def _cell(name: str, seed: int) -> dict[str, Any]:
    layer = {"grpo": None, "bupo-kauto-s4": "auto", "bupo-k2-s4": 2}[name]
    return {
        "cell": name,
        "model": MODELS[0],
        "method": name.split("-")[0],
        "train_set": "arithmetic",
        "layer": layer,
        "iterative_steps": None if layer is None else 4,
        "learning_rate": None,
        "seed": seed,
        "steps": 15,
    }


def _experiment(folder: Path, scenario: Scenario, cells: list[dict[str, Any]]) -> None:
    experiment = {
        "name": "demo",
        "description": scenario.description,
        "seed": 1,
        "models": {"train": [MODELS[0]], "analyse": list(MODELS)},
        "data": {
            "train": ["arithmetic"],
            "benchmarks": list(BENCHMARKS),
            "source": "hub",
            "directory": None,
            "limits": {},
            "spare": [],
            "max_prompt_tokens": 64,
        },
        "training": {"engine": "cpu", "steps": 15, "overrides": []},
        "auto_layer": {"fallback": 2},
        "expected_seconds": {},
        "analysis": {"settings": "demo", "problems": "arithmetic_easy"},
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


def _problem(name: str, number: int) -> dict[str, Any]:
    a, b, c = 12 + number % 71, 3 + number % 17, 5 + number % 29
    return {
        "id": f"{name}-{number:04d}",
        "problem": f"Mia has {a} shells & finds {b} more, then {c} <more>. How many has she?",
        "answer": str(a + b + c),
        "subject": "addition",
        "level": str(1 + number % 3),
        "source": name,
    }


def _data(folder: Path, scenario: Scenario) -> None:
    (folder / "data" / "normal").mkdir(parents=True)
    for name, count, role in (
        ("arithmetic", 512, "train"),
        *((name, scenario.problems, "benchmark") for name in BENCHMARKS),
    ):
        pd.DataFrame([_problem(name, n) for n in range(count)]).to_parquet(
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
    reasons = {"prompt longer than 64 tokens": 10, "leak": 2}
    write_json(folder / "data/verl/tiny_qwen3/arithmetic.json", {**export, "reasons": reasons})
    pairs = [
        {
            "train": "arithmetic",
            "benchmark": name,
            "problems": scenario.problems,
            "inside": inside,
            "exact": inside,
            "overlap": 0,
            "reworded": 0,
            "lookalike": 5,
            "removed": inside,
            "told": f"{inside} of the {scenario.problems} problems of {name} are in arithmetic.",
        }
        for name, inside in zip(BENCHMARKS, (0, 2), strict=True)
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


def _entropy(folder: Path, model: str, status: str, boundary: int) -> None:
    rng = np.random.default_rng(len(model))
    rows: list[dict[str, Any]] = []

    def row(quantity: str, policy: str, layer: int, lens: str, mean: float, half: float) -> None:
        rows.append(
            {
                "quantity": quantity,
                "policy": policy,
                "layer": layer,
                "lens": lens,
                "slice": "all",
                "mean": mean,
                "low": mean - half,
                "high": mean + half,
                "n_tokens": 1100,
                "n_problems": 48,
            }
        )

    for lens, top in (("raw", 3.2), ("final_norm", 4.0)):
        for layer in range(LAYERS + 1):
            row(
                "entropy",
                "layer" if layer else "embedding",
                layer,
                lens,
                top * (1 - (layer / (LAYERS + 0.6)) ** 2),
                0.08,
            )
    evidence = []
    for layer in range(1, LAYERS + 1):
        attention = 0.4 - 0.05 * layer + float(rng.normal(0, 0.03))
        ffn = 0.35 * (boundary + 0.5 - layer) + float(rng.normal(0, 0.02))
        if status == "unclear":
            ffn *= 0.03
        row("entropy_change", "attention", layer, "raw", attention, 0.06)
        row("entropy_change", "ffn", layer, "raw", ffn, 0.07)
        row("norm", "layer", layer, "raw", 4.0 * layer, 0.2)
        stage = "exploration" if ffn - 0.07 > 0.05 else "convergence" if ffn + 0.07 < -0.05 else "undecided"
        evidence.append(
            {"layer": layer, "ffn_change": ffn, "low": ffn - 0.07, "high": ffn + 0.07, "stage": stage}
        )
    target = folder / "entropy" / model
    target.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(target / "statistics.parquet")
    clear = status == "clear"
    write_json(
        target / "boundary.json",
        {
            "model": model,
            "layers": LAYERS,
            "status": status,
            "boundary_layer": boundary if clear else None,
            "tolerance": 0.05,
            "lens": "raw",
            "level": 0.95,
            "reason": f"Layer {boundary} is the last whose FFN raises the entropy by more than 0.05 nats."
            if clear
            else "No layer's interval lies above the tolerance of 0.05 nats.",
            "evidence": evidence,
            "n_tokens": 1100,
            "n_problems": 48,
        },
    )


def _training(folder: Path, cell: dict[str, Any], scenario: Scenario, number: int) -> None:
    target = folder / "runs" / cell["model"] / cell["cell"] / f"seed{cell['seed']}"
    target.mkdir(parents=True)
    clear = scenario.boundary == "clear"
    auto = cell["layer"] == "auto"
    layer = (3 if clear else 2) if auto else cell["layer"]
    evidence = {
        "requested": "auto",
        "status": scenario.boundary,
        "boundary_layer": 3 if clear else None,
        "fallback": 2,
        "reason": "Layer 3 is the last whose FFN raises the entropy." if clear else "No layer stands out.",
        "file": "results/demo/entropy/tiny_qwen3/boundary.json",
    }
    phases = [{"layer": layer, "steps": 4}] if layer else []
    config = {
        "actor_rollout_ref": {
            "actor": {"optim": {"lr": 5e-5}, "ppo_mini_batch_size": 32},
            "rollout": {"n": 8, "temperature": 1.0},
            "model": {"path": "results/demo/models/tiny_qwen3"},
        },
        "data": {"train_batch_size": 32},
        "trainer": {"total_training_steps": 15},
        "bupo": {
            "model": cell["model"],
            "cell": cell["cell"],
            "seed": cell["seed"],
            "layers": LAYERS,
            "layer": layer,
            "layer_evidence": evidence if auto else None,
            "iterative_steps": cell["iterative_steps"],
            "lens": "raw",
            "schedule": [*phases, {"layer": "final"}],
        },
    }
    (target / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    rng = np.random.default_rng(100 + number)
    skill = scenario.skill[cell["cell"]]
    lines = []
    for step in range(1, 16):
        internal = bool(phases) and step <= 4
        reward = 1 / (
            1 + np.exp(-(0.5 + scenario.skill["base"] + (skill - scenario.skill["base"]) * step / 15))
        )
        lines.append(
            {
                "step": step,
                "critic/score/mean": float(np.clip(reward + rng.normal(0, 0.03), 0, 1)),
                "response_length/mean": float(18 + 2 * np.sin(step / 4 + number) + rng.normal(0, 0.3)),
                ("bupo/entropy_internal" if internal else "bupo/entropy_full"): float(
                    (2.4 if internal else 0.8) * np.exp(-step / 12) + rng.normal(0, 0.01)
                ),
                "reward/no_box": float(0.05 * np.exp(-step / 5)),
                "actor/grad_norm": float(0.6 + rng.normal(0, 0.05)),
                "bupo/layer": layer if internal else LAYERS,
                "bupo/phase": 1 if internal or not phases else 2,
                "timing_s/step": 8.0,
            }
        )
    (target / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_json(
        target / "done.json",
        {
            "config_sha256": sha256_file(target / "config.yaml"),
            "steps": 15,
            "wall_s": 160.0 + 7 * number,
            "files": {},
        },
    )


def _evaluation(folder: Path, run: str, benchmark: str, ease: float, scenario: Scenario) -> None:
    cell = run.split("/")[0]
    n, samples = scenario.problems, scenario.samples
    hardness = np.random.default_rng(len(benchmark)).normal(0, 1.2, n)
    rng = np.random.default_rng([len(benchmark), *run.encode()])
    chance = 1 / (1 + np.exp(-(ease + scenario.skill[cell] - hardness)))
    correct = rng.random((n, samples)) < chance[:, None]
    scores, shard = [], []
    for number in range(n):
        problem = _problem(benchmark, number)
        for sample in range(samples):
            right = bool(correct[number, sample])
            boxed = right or rng.random() > 0.05
            answer = problem["answer"] if right else str(int(problem["answer"]) + 1) if boxed else None
            text = f"{problem['answer']} is the sum.\nSo the answer is " + (
                f"\\boxed{{{answer}}}" if boxed else ""
            )
            scores.append(
                {
                    "problem_id": problem["id"],
                    "sample": sample,
                    "correct": right,
                    "status": "correct" if right else "wrong" if boxed else "no_box",
                    "answer": answer,
                    "gold": problem["answer"],
                    "n_tokens": len(text) // 2,
                }
            )
            shard.append(
                {
                    "problem_id": problem["id"],
                    "sample": sample,
                    "text": text,
                    "n_tokens": len(text) // 2,
                    "finish_reason": "stop" if boxed else "length",
                }
            )
    target = folder / "evaluation" / MODELS[0] / run / benchmark
    target.mkdir(parents=True)
    table = pd.DataFrame(scores)
    table.to_parquet(target / "scores.parquet")
    pd.DataFrame(shard).to_parquet(target / "shard-0.parquet")
    ks = [k for k in (1, 2, 4, 8) if k <= samples]
    no_box = float((table["status"] == "no_box").mean())
    write_json(
        target / "summary.json",
        {
            "model": MODELS[0],
            "run": run,
            "benchmark": benchmark,
            "n_problems": n,
            "n_samples": samples,
            "avg_at_n": _estimate(correct.mean(axis=1), rng),
            "pass_at_k": {str(k): _estimate(_pass_at_k(correct, k), rng) for k in ks},
            "maj_at_n": float((correct.mean(axis=1) > 0.5).mean()),
            "truncated_share": no_box,
            "no_box_share": no_box,
            "mean_tokens": float(table["n_tokens"].mean()),
            "grader": "math_verify",
            "grader_disagreements": 3,
            "settings": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48},
        },
    )


def _pass_at_k(correct: np.ndarray, k: int) -> np.ndarray:
    n = correct.shape[1]
    wrong = n - correct.sum(axis=1)
    miss = np.ones(len(correct))
    for i in range(k):
        miss *= np.clip((wrong - i) / (n - i), 0, None)
    return 1 - miss


def _estimate(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    means = rng.choice(values, (500, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(values.mean())
    return {
        "value": mean,
        "low": float(low),
        "high": float(high),
        "decoding_low": mean - 0.01,
        "decoding_high": mean + 0.01,
    }

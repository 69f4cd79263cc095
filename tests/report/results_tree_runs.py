"""What a results tree has of each run: its training and its evaluation.

The scores come from a small simulation (each problem has a difficulty, each run a skill), so that intervals, pass@k
and verdicts hang together as they do in real results.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bupo.evaluation.store import IDENTITY
from bupo.files import sha256_text, write_json
from bupo.identity import config_sha256

BENCHMARKS = {"arithmetic_easy": 1.2, "arithmetic_hard": -0.4}
MODELS = ("tiny_qwen3", "tiny_llama")
LAYERS = 6


COLLAPSE = {
    **{"step": 12, "bound": "max_truncated", "limit": 0.9, "metric": "bupo/truncated"},
    "values": [0.9123, 0.95, 1.0],
}

JOBS = [
    {
        "started": "2026-11-01T10:00:00+00:00",
        "ended": "2026-11-01T10:30:00+00:00",
        "gpus": 8,
        "commit": "c0ffee1",
        "versions": {"python": "3.11.7", "torch": "2.11.0", "verl": "0.9.1"},
        "train_files": {"results/demo/data/verl/tiny_qwen3/arithmetic.parquet": "da" * 32},
    },
    {
        "started": "2026-11-01T11:00:00+00:00",
        "ended": "2026-11-01T12:00:00+00:00",
        "gpus": 8,
        "commit": "c0ffee1",
        "versions": {"python": "3.11.7", "torch": "2.11.0", "verl": "0.9.1"},
        "train_files": {"results/demo/data/verl/tiny_qwen3/arithmetic.parquet": "da" * 32},
    },
]
"""A training that was preempted once: an hour and a half on 8 GPUs, 12 GPU-hours."""


@dataclass(frozen=True)
class Scenario:
    """What the tree shows.

    Attributes:
        skill: log-odds that each cell adds to the base's; ``base`` is the base itself.
        boundary: status of the boundary layer of the trained model.
        snapshots: steps between the snapshots of a run; None: no sweep over them.
        lenses: of the entropy analysis.
        problems, samples: size of each benchmark.
        collapsed: the cell whose training ended by its guard.
        models: the first is trained, all are analysed; benchmarks: with how easy they are.
        recorded: whether the stages told what they cost.
    """

    skill: dict[str, float] = field(
        default_factory=lambda: {"base": 0.0, "grpo": 0.7, "bupo-kauto-s4": 0.95, "bupo-k2-s4": 0.6}
    )
    boundary: str = "clear"
    snapshots: int | None = 4
    lenses: tuple[str, ...] = ("raw", "final_norm")
    problems: int = 100
    samples: int = 8
    seeds: tuple[int, ...] = (1,)
    models: tuple[str, ...] = MODELS
    benchmarks: dict[str, float] = field(default_factory=lambda: dict(BENCHMARKS))
    recorded: bool = True
    collapsed: str | None = None
    description: str = (
        "Arithmetic word problems, a six-layer Qwen3 made here and warmed up on worked solutions: "
        "the whole pipeline on two cores."
    )


def problem(name: str, number: int) -> dict[str, Any]:
    a, b, c = 12 + number % 71, 3 + number % 17, 5 + number % 29
    return {
        "id": f"{name}-{number:04d}",
        "problem": f"Mia has {a} shells & finds {b} more, then {c} <more>. How many has she?",
        "answer": str(a + b + c),
        "subject": "addition",
        "level": str(1 + number % 3),
        "source": name,
    }


def training(folder: Path, cell: dict[str, Any], scenario: Scenario, number: int) -> None:
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
    phases = [{"layer": layer, "steps": cell["iterative_steps"]}] if layer else []
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
        internal = bool(phases) and step <= phases[0]["steps"]
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
            "config_sha256": config_sha256(config),
            "steps": 15,
            "wall_s": 160.0 + 7 * number,
            **({"status": "collapsed", "collapse": COLLAPSE} if cell["cell"] == scenario.collapsed else {}),
            "files": {
                "metrics.jsonl": "0e" * 32,
                "model/model.safetensors": "ef" * 32,
                "snapshots/step-000004/model.safetensors": "f4" * 32,
            },
            **({"jobs": JOBS} if scenario.recorded else {}),
        },
    )


def logs(folder: Path, scenario: Scenario, cells: list[dict[str, Any]]) -> None:
    """The last lines of the stages' logs: 60 s on one GPU each, but for the stages that use none."""
    runs = [f"{c['model']}/{c['cell']}/seed{c['seed']}" for c in cells]
    evaluated = [f"{scenario.models[0]}/base/seed0", *runs]
    names = [
        *(f"data/{name}" for name in ("arithmetic", *scenario.benchmarks, "contamination")),
        *(f"models/{name}" for name in scenario.models),
        *(f"entropy/{name}" for name in scenario.models),
        *(f"entropy/{run}" for run in evaluated if scenario.snapshots),
        *(f"runs/{run}" for run in runs),
        *(f"evaluation/{run}/{name}" for run in evaluated for name in scenario.benchmarks),
    ]
    for name in names:
        path = folder / f"logs/{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("working\n[commit] c0de\n[spent] 60.0 s, 90.0 s of processors, 1 GPUs\n")


def evaluation(folder: Path, run: str, benchmark: str, ease: float, scenario: Scenario) -> None:
    cell = run.split("/")[0]
    n, samples = scenario.problems, scenario.samples
    hardness = np.random.default_rng(len(benchmark)).normal(0, 1.2, n)
    rng = np.random.default_rng([len(benchmark), *run.encode()])
    chance = 1 / (1 + np.exp(-(ease + scenario.skill[cell] - hardness)))
    correct = rng.random((n, samples)) < chance[:, None]
    scores, shard = [], []
    for number in range(n):
        asked = problem(benchmark, number)
        for sample in range(samples):
            right = bool(correct[number, sample])
            boxed = right or rng.random() > 0.05
            answer = asked["answer"] if right else str(int(asked["answer"]) + 1) if boxed else None
            text = f"{asked['answer']} is the sum.\nSo the answer is " + (
                f"\\boxed{{{answer}}}" if boxed else ""
            )
            scores.append(
                {
                    "problem_id": asked["id"],
                    "sample": sample,
                    "correct": right,
                    "status": "correct" if right else "wrong" if boxed else "no_box",
                    "answer": answer,
                    "gold": asked["answer"],
                    "n_tokens": len(text) // 2,
                    "finish_reason": "stop" if boxed else "length",
                    "correct_math_verify": right,
                    "correct_string": right and len(scores) >= 3,
                }
            )
            shard.append(
                {
                    "problem_id": asked["id"],
                    "sample": sample,
                    "text": text,
                    "n_tokens": len(text) // 2,
                    "finish_reason": "stop" if boxed else "length",
                }
            )
    target = folder / "evaluation" / scenario.models[0] / run / benchmark
    target.mkdir(parents=True)
    table = pd.DataFrame(scores)
    table.to_parquet(target / "scores.parquet")
    identity = sha256_text(f"{run} {benchmark}")
    samples_of = pa.Table.from_pandas(pd.DataFrame(shard))
    marked = {**samples_of.schema.metadata, IDENTITY: identity.encode()}
    pq.write_table(samples_of.replace_schema_metadata(marked), target / "shard-0.parquet")
    at_odds = {
        "gold": "1/2",
        "answer": "<0.5>",
        "samples": 3,
        "problem_id": scores[0]["problem_id"],
        "sample": 0,
    }
    at_odds |= {"correct_math_verify": True, "gold_read_math_verify": "1/2", "answer_read_math_verify": "1/2"}
    at_odds |= {"correct_string": False, "gold_read_string": "\\frac{1}{2}", "answer_read_string": ""}
    pd.DataFrame([at_odds]).to_csv(target / "disagreements.csv", index=False)
    ks = [k for k in (1, 2, 4, 8) if k <= samples]
    no_box = float((table["status"] == "no_box").mean())
    write_json(
        target / "summary.json",
        {
            "model": scenario.models[0],
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
            "grader_disagreements": int(table["correct"].head(3).sum()),
            "grader_timeout_share": 0.001,
            "settings": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 48},
            "benchmark_sha256": "be" * 32,
            "sampling_sha256": identity,
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

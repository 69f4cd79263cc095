"""A small tree of results, of which each test makes what it is about."""

import json
from base64 import urlsafe_b64encode

from bupo.files import sha256_text, to_yaml, write_json, write_text
from bupo.identity import config_sha256

MODEL = "tiny_qwen3"
GRPO, BUPO = f"{MODEL}/grpo/seed1", f"{MODEL}/bupo-k5-s4/seed1"
BASE = f"{MODEL}/base/seed0"
BENCHMARKS = ["arithmetic_easy", "arithmetic_hard"]


def cell(name, layer=None, iterative_steps=None, steps=12):
    return {
        **{"cell": name, "model": MODEL, "method": name.split("-")[0], "train_set": "arithmetic"},
        **{
            "layer": layer,
            "iterative_steps": iterative_steps,
            "learning_rate": None,
            "seed": 1,
            "steps": steps,
        },
    }


def call(config, **changes):
    """An entry of .jobs.json: an hour on eight GPUs."""
    return {
        **{"config_sha256": config_sha256(config), "outcome": "completed", "commit": "abc123"},
        **{"started": "2026-01-01T10:00:00+00:00", "ended": "2026-01-01T11:00:00+00:00"},
        **{"slurm_job_id": "77", "partition": "gpu", "host": "node7", "gpus": 8},
        **{"versions": {"torch": "2.11.0"}, "train_files": {}},
        **changes,
    }


class Tree:
    """``results/demo`` below a folder."""

    def __init__(self, root):
        self.root = root
        self.folder = root / "results/demo"
        self.experiment = {
            **{"name": "demo", "description": "Small.", "seed": 1, "analysis": {"snapshots": 4}},
            "models": {"train": [MODEL], "analyse": [MODEL, "tiny_llama"]},
            "data": {"train": ["arithmetic"], "benchmarks": BENCHMARKS, "spare": []},
            "cells": [cell("grpo"), cell("bupo-k5-s4", 5, 4)],
        }
        write_text(self.folder / "experiment.yaml", to_yaml(self.experiment))

    def config(self, run=GRPO, lr=1e-4, gpus=0):
        """Write a run's configuration, with what the commands look at."""
        _, name, seed = run.split("/")
        layer = 5 if name.startswith("bupo") else None
        phases = [{"layer": layer, "steps": 4}] if layer else []
        config = {
            "actor_rollout_ref": {
                "actor": {"optim": {"lr": lr}, "ppo_epochs": 1},
                "rollout": {"n": 8},
            },
            "algorithm": {"adv_estimator": "grpo"},
            "data": {
                **{"train_batch_size": 32, "max_response_length": 48},
                "train_files": ["results/demo/data/verl/tiny_qwen3/arithmetic.parquet"],
            },
            "trainer": {
                **{"device": "cuda" if gpus else "cpu", "nnodes": 1, "n_gpus_per_node": gpus or 1},
                "total_training_steps": 12,
            },
            "bupo": {
                **{"model": MODEL, "cell": name, "seed": int(seed.removeprefix("seed")), "layers": 6},
                **{"layer": layer, "layer_evidence": None, "schedule": [*phases, {"layer": "final"}]},
                "checkpoints": {"keep_last": 2, "keep_best": 0},
            },
        }
        write_text(self.folder / "runs" / run / "config.yaml", to_yaml(config))
        return config

    def metrics(self, run=GRPO, steps=12, seconds=2.0, internal_seconds=1.0, first=None):
        """Write the lines of so many steps, the first four of a BuPO run of layer 5."""
        lines = []
        for step in range(1, steps + 1):
            internal = "bupo" in run and step <= 4
            took = internal_seconds if internal else seconds
            lines.append(
                {
                    **{"step": step, "critic/score/mean": step / 16, "bupo/internal": int(internal)},
                    **{"bupo/layer": 5 if internal else 6},
                    "timing_s/step": first if first is not None and step == 1 else took,
                }
            )
        path = self.folder / "runs" / run / "metrics.jsonl"
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        return path

    def done(self, config, run=GRPO, **more):
        """Write the end of a run."""
        values = {"config_sha256": config_sha256(config), "steps": 12, "resumed_from": 0, "wall_s": 30.0}
        write_json(self.folder / "runs" / run / "done.json", {**values, "files": {}, **more})

    def jobs(self, entries, run=GRPO):
        write_json(self.folder / "runs" / run / ".jobs.json", entries)

    def evaluation(self, run=GRPO, benchmark="arithmetic_easy", **more):
        """Write a summary."""
        summary = {
            **{"model": MODEL, "run": run, "benchmark": benchmark, "n_problems": 100, "n_samples": 8},
            **{"mean_tokens": 16.0, "grader": "math_verify", "settings": {"temperature": 1.0}},
        }
        write_json(self.folder / "evaluation" / run / benchmark / "summary.json", {**summary, **more})

    def submitted(self, output, job_id, begun=False):
        """Write what Snakemake and the executor for Slurm leave of a job; one that began marks its output anew."""
        self.mark(output, {"external_jobid": None if begun else job_id})
        record = {"job_id": job_id, "log": "x.log", "command": "0" * 64, "submitted": 0.0}
        write_json(self.root / f".snakemake/slurm_jobs/{sha256_text(output)[:32]}.json", record)

    def mark(self, output, values, kind="incomplete"):
        """Write what Snakemake records of an output, as it names such files."""
        name = urlsafe_b64encode(output.encode()).decode()
        parts = [name[i : i + 254] for i in range(0, len(name), 254)]
        folder = self.root / ".snakemake" / kind
        write_json(folder.joinpath(*("@" + part for part in parts[:-1]), parts[-1]), values)

"""Time and memory of a BuPO step in phase 1 (old log-probs, an update), and of doing it at full depth."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_check_engine import Setting, make_batch, make_engine, random_rows, save_model, start_process_group
from phase1_step import both_projections

STEPS = 3
"""Timed, after one that is not."""


def check_step(setting: Setting, folder: Path) -> dict[str, Any]:
    """Each way in a process of its own, on the same random model; a way that does not fit says so.

    The ways that compute the same policy must agree; ours must fit, and take less of both than the others.
    """
    save_model(folder, setting.step_shape, setting.device, torch.bfloat16)
    numbers: dict[str, Any] = {}
    for way in setting.ways:
        command = [
            sys.executable,
            str(Path(__file__).with_name("gpu_check.py")),
            "--way",
            way,
            "--folder",
            str(folder),
        ]
        command += ["--rehearse"] if setting.device == "cpu" else []
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if result.returncode:
            raise RuntimeError(f"the process that measures {way!r} ended with status {result.returncode}")
        numbers[way] = json.loads(result.stdout.splitlines()[-1])
    found = {way: np.load(folder / f"{way}.npy") for way in numbers if "seconds" in numbers[way]}
    assert {"chunked", "logits"} <= set(found), f"ours did not fit: {numbers}"
    for way, log_probs in found.items():
        numbers[way]["from_chunked"] = float(np.abs(log_probs - found["chunked"]).mean())
    judge_step(numbers, measured=setting.device != "cpu")
    return numbers


def judge_step(numbers: dict[str, Any], measured: bool) -> None:
    """Whether the ways agree; and, where time and memory mean something, whether ours cost less.

    Args:
        numbers: of each way; ``from_chunked`` is the mean distance of its old log-probs to ours, nats.
        measured: whether time and memory are a GPU's.
    """
    whole = numbers["full depth"].get("from_chunked", 1.0)
    for way in ("logits", "authors"):
        assert numbers[way].get("from_chunked", 0.0) < 0.2 * whole, f"{way} has another policy: {numbers}"
    for other in ("full depth", "authors"):
        if not measured or "seconds" not in numbers[other]:
            continue
        for way in ("chunked", "logits"):
            for key in ("seconds", "peak_gib"):
                below = numbers[way][key] < numbers[other][key]
                assert below, f"{key} of {way} is not below that of {other}: {numbers}"


def measure_way(setting: Setting, folder: Path, way: str) -> dict[str, Any]:
    """Median seconds and peak memory (GiB) of a step, in a process of its own.

    The old log-probs of the first step go to ``way.npy`` in ``folder``.
    """
    start_process_group(setting.device)
    try:
        engine = make_engine(folder, True, setting.attention, "bf16", checkpointing=True)
        step = make_step(engine, setting, way)
        np.save(folder / f"{way}.npy", step().float().cpu().numpy())
        _forget_peak(setting.device)
        seconds = []
        for _ in range(STEPS):
            start = time.perf_counter()
            step()
            _wait(setting.device)
            seconds.append(time.perf_counter() - start)
    except torch.OutOfMemoryError as error:
        return {"does_not_fit": str(error).splitlines()[0]}
    peak = torch.cuda.max_memory_allocated() / 2**30 if setting.device == "cuda" else 0.0
    return {"seconds": statistics.median(seconds), "peak_gib": round(peak, 2)}


def make_step(engine: Any, setting: Setting, way: str) -> Callable[[], torch.Tensor]:
    """A function that makes a step and returns the old log-probs [T]."""
    rows = random_rows(setting.step_lengths, setting.step_shape["vocab_size"])
    layer, layers = setting.step_layer, setting.step_shape["num_hidden_layers"]
    policy = f"{layer}/{layers}/raw" if way in ("chunked", "logits") else "full"

    def step() -> torch.Tensor:
        def loss(model_output: Any, data: Any, dp_group: Any = None) -> Any:
            return (model_output["log_probs"].values() - old).exp().clamp(0.8, 1.2).mean(), {}

        chunked = {"bupo_chunked_log_prob": way == "chunked"}
        with both_projections(engine.module, layer) if way == "authors" else nullcontext():
            with engine.eval_mode():
                old = engine.infer_batch(make_batch(rows, policy, True, **chunked))["model_output"][
                    "log_probs"
                ].values()
            with engine.train_mode():
                engine.train_batch(make_batch(rows, policy, True, **chunked), loss)
        return old

    return step


def _forget_peak(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()

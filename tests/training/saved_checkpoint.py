"""A small checkpoint as verl saves it: the same names and kinds of files, with content of the step's own."""

import functools
import io
import random
from pathlib import Path

import numpy as np
import torch


@functools.cache
def contents(step: int) -> dict[str, bytes]:
    """The files of the checkpoint of ``step``, by path: sharded tensors, optimiser, random states, text."""
    generator = torch.Generator().manual_seed(step)
    weights = {f"layers.{i}.weight": torch.randn(32, 32, generator=generator) for i in range(4)}
    averages = {i: {"step": torch.tensor(float(step)), "exp_avg": w} for i, w in enumerate(weights.values())}
    draws = {
        "cpu": generator.get_state(),
        "numpy": np.random.RandomState(step).get_state(),
        "random": random.Random(step).getstate(),
    }
    states = {
        "actor/model_world_size_1_rank_0.pt": weights,
        "actor/optim_world_size_1_rank_0.pt": {"state": averages, "param_groups": [{"lr": 1e-3}]},
        "actor/extra_state_world_size_1_rank_0.pt": {"lr_scheduler": {"last_epoch": step}, "rng": draws},
        "data.pt": {"_snapshot": {"_snapshot_step": step}},
    }
    files = {"actor/fsdp_config.json": b'{"FSDP_version": 2}', "actor/huggingface/config.json": b"{}"}
    for name, state in states.items():
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files[name] = buffer.getvalue()
    return files


def stage(checkpoints, step: int, write=Path.write_bytes) -> dict[str, bytes]:
    """Write the checkpoint of ``step`` where verl writes it; ``write`` writes one file."""
    files = contents(step)
    for name, content in files.items():
        path = checkpoints.staging / f"global_step_{step}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, content)
    return files

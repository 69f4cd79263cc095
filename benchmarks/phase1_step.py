"""A step of phase 1 (old log-probs, then one update) in verl's engine on the CPU, and the authors' way.

    OMP_NUM_THREADS=2 python benchmarks/phase1_step.py [--steps 5] [--out benchmarks/phase1_step.json]

Ways: "authors" runs all L layers and both vocabulary projections, internal and final, with logits; "logits"
is ours with logits; "chunked" is ours without. Shapes: Qwen3-4B with every size but the number of layers
divided by ten, so that layers and vocabulary have the real model's shares of the work; and its whole
vocabulary over a small model. All recompute activations in backward. Each measurement has a process of its
own, and the ways take turns. "step_mib" is what a step takes beside weights and optimiser state: the peak
less what is resident before.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

WAYS = ("authors", "logits", "chunked")
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-4b / 10": {
        "config": {
            "vocab_size": 15194,
            "hidden_size": 256,
            "intermediate_size": 972,
            "num_hidden_layers": 36,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 52,
        },
        "lengths": [256] * 4,
    },
    "whole vocabulary": {
        "config": {
            "vocab_size": 151936,
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 8,
            "num_attention_heads": 6,
            "num_key_value_heads": 2,
            "head_dim": 64,
        },
        "lengths": [256] * 2,
    },
}


def save_model(folder: Path, shape: dict[str, Any]) -> None:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    Qwen3ForCausalLM(Qwen3Config(**shape["config"], tie_word_embeddings=True)).save_pretrained(folder)


def make_engine(folder: Path) -> Any:
    import torch
    import verl  # noqa: F401 - its entry point makes the CPU platform known
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig

    from bupo.training import patches
    from bupo.training.engine import InternalPolicyCpuEngine

    patches.apply()
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("cpu:gloo", store=store, rank=0, world_size=1)
    engine = InternalPolicyCpuEngine(
        model_config=HFModelConfig(
            path=str(folder),
            load_tokenizer=False,
            use_remove_padding=True,
            enable_gradient_checkpointing=True,
            override_config={"attn_implementation": "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            mixed_precision={"param_dtype": "fp32", "reduce_dtype": "fp32"},
            use_no_sync_for_gradient_accumulation=False,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=1e-6, total_training_steps=100),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def make_batch(shape: dict[str, Any], policy: str, chunked: bool, **extra: Any) -> Any:
    import torch
    from verl.utils import tensordict_utils as tu

    generator, lengths = torch.Generator().manual_seed(1), shape["lengths"]
    vocabulary = shape["config"]["vocab_size"]
    jagged = partial(torch.nested.as_nested_tensor, layout=torch.jagged)
    return tu.get_tensordict(
        {
            "input_ids": jagged([torch.randint(vocabulary, (n,), generator=generator) for n in lengths]),
            "position_ids": jagged([torch.arange(n) for n in lengths]),
            "loss_mask": jagged([torch.ones(n, dtype=torch.long) for n in lengths]),
        },
        non_tensor_dict={
            "temperature": 1.0,
            "use_remove_padding": True,
            "use_dynamic_bsz": False,
            "micro_batch_size_per_gpu": len(lengths),
            "bupo_policy": policy,
            "bupo_chunked_log_prob": chunked,
            **extra,
        },
    )


@contextmanager
def both_projections(model: Any, layer: int) -> Iterator[None]:
    """All layers run; the model returns the internal logits, and the final logits are made as well."""
    from torch.nn.functional import linear

    states: list[Any] = []
    hook = model.model.layers[layer - 1].register_forward_hook(lambda *args: states.append(args[-1]))

    def forward(final: Any) -> Any:
        internal = linear(states.pop(), model.lm_head.weight)
        internal.final = linear(final, model.lm_head.weight)  # lives as long, as in the authors' output
        return internal

    model.lm_head.forward = forward
    try:
        yield
    finally:
        hook.remove()
        del model.lm_head.forward


def phase1_step(engine: Any, shape: dict[str, Any], way: str, layer: int) -> Callable[[], float]:
    """A function that makes a step and returns the mean old log-prob."""
    total, chunked = shape["config"]["num_hidden_layers"], way == "chunked"
    policy = "full" if way == "authors" else f"{layer}/{total}/raw"

    def loss(model_output: Any, data: Any, dp_group: Any = None) -> Any:
        ratio = (model_output["log_probs"].values() - old).exp()
        return ratio.clamp(0.8, 1.2).mean(), {}

    def step() -> float:
        nonlocal old
        with both_projections(engine.module, layer) if way == "authors" else nullcontext():
            with engine.eval_mode():
                batch = make_batch(shape, policy, chunked, calculate_entropy=True)
                old = engine.infer_batch(batch)["model_output"]["log_probs"].values()
            with engine.train_mode():
                engine.train_batch(make_batch(shape, policy, chunked), loss)
        return float(old.mean())

    old: Any = None
    return step


def resident(key: str) -> float:
    """MiB of this process: now (VmRSS) or at most since `settled` (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def settled() -> float:
    """MiB of this process with nothing in it that is not needed; the peak is counted from here on."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def measure(folder: Path, shape: dict[str, Any], way: str, layer: int, steps: int) -> dict[str, Any]:
    """In a process of its own."""
    step = phase1_step(make_engine(folder), shape, way, layer)
    log_prob = step()
    before = settled()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resident("VmHWM")
    return {"seconds": seconds, "step_mib": peak - before, "peak_mib": peak, "log_prob": log_prob}


def results(steps: int, rounds: int) -> Iterator[dict[str, Any]]:
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, __file__, "--save", name, folder], check=True)
            total = shape["config"]["num_hidden_layers"]
            for layer in (total // 4, total // 2):
                found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
                for way in WAYS * rounds:
                    arguments = ["--measure", name, folder, way, str(layer), str(steps)]
                    output = subprocess.run(
                        [sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True
                    ).stdout
                    found[way].append(json.loads(output.splitlines()[-1]))
                log_probs = [run["log_prob"] for runs in found.values() for run in runs]
                if max(log_probs) - min(log_probs) > 1e-4:
                    raise SystemExit(f"the ways do not compute the same policy: {log_probs}")
                for way, runs in found.items():
                    yield {
                        "shape": name,
                        "vocabulary": shape["config"]["vocab_size"],
                        "hidden": shape["config"]["hidden_size"],
                        "tokens": sum(shape["lengths"]),
                        "layer": f"{layer}/{total}",
                        "way": way,
                        "median_s": round(statistics.median(s for run in runs for s in run["seconds"]), 2),
                        "step_mib": round(max(run["step_mib"] for run in runs)),
                        "peak_mib": round(max(run["peak_mib"] for run in runs)),
                    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--steps", type=int, default=5, help="timed steps of a process, after one that is not"
    )
    parser.add_argument("--rounds", type=int, default=2, help="processes of each way")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["VERL_PLATFORM"] = "cpu"
    if arguments.save:
        return save_model(Path(arguments.save[1]), SHAPES[arguments.save[0]])
    if arguments.measure:
        name, folder, way, layer, steps = arguments.measure
        return print(json.dumps(measure(Path(folder), SHAPES[name], way, int(layer), int(steps))))
    import torch

    result = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "steps": list(results(arguments.steps, arguments.rounds)),
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()

"""What the entropy benchmarks share: the model, the authors' way, and how time and memory are measured."""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

VOCABULARY = 151_936
LAYERS = 4


def one_thread() -> None:
    """To be called before torch is imported."""
    os.environ["OMP_NUM_THREADS"] = "1"


def make_model(width: int, layers: int = LAYERS, vocabulary: int = VOCABULARY, **options: Any):
    """A random Qwen3 whose policies have entropies of all sizes, float32."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        num_key_value_heads=max(1, width // 128),
        head_dim=64,
        tie_word_embeddings=False,
        max_position_embeddings=2**16,
        **options,
    )
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(8 * (256 / width) ** 0.5)
        model.model.embed_tokens.weight.mul_(10)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(6)
            layer.mlp.down_proj.weight.mul_(12)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm):
                norm.weight.uniform_(0.2, 0.8)
    return model


def make_ids(length: int, vocabulary: int = VOCABULARY):
    import torch

    return torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(1))


def authors_way(model, ids) -> dict[str, Any]:
    """The algorithm of the authors' entropy script, said anew: 6L + 1 policies, [T, V] logits for each.

    One forward pass in float32 that returns attentions, hidden states and the logits of all positions; hooks
    keep what goes into and comes out of every layer, attention and FFN (of attention the layer's input,
    normed once more) in the host's memory; each of them goes through the unembedding by itself, and its
    entropy is softmax times log_softmax, over as many [T, V] tensors as that takes. Without the script's
    search for the response: all positions count.
    """
    import torch

    kept: dict[str, Any] = {}
    hooks = []

    def on_layer(index: int, layer):
        def hook(_module, args, output):
            kept[f"layer {index} in"], kept[f"layer {index} out"] = args[0][0].cpu(), output[0].cpu()
            kept[f"attention {index} in"] = layer.input_layernorm(args[0])[0].cpu()

        return hook

    def on_attention(index: int):
        return lambda _module, _args, output: kept.update({f"attention {index} out": output[0][0].cpu()})

    def on_ffn(index: int):
        return lambda _module, args, output: kept.update(
            {f"ffn {index} in": args[0][0].cpu(), f"ffn {index} out": output[0].cpu()}
        )

    for index, layer in enumerate(model.model.layers, start=1):
        hooks.append(layer.register_forward_hook(on_layer(index, layer)))
        hooks.append(layer.self_attn.register_forward_hook(on_attention(index)))
        hooks.append(layer.mlp.register_forward_hook(on_ffn(index)))

    def entropy_of(logits):
        probabilities = torch.softmax(logits, -1)
        log_probabilities = torch.log_softmax(logits, -1)
        return -(probabilities * log_probabilities).sum(-1)

    try:
        with torch.no_grad():
            output = model(ids[None], output_attentions=True, output_hidden_states=True)
            found = {"final": entropy_of(output.logits[0])}
            del output
            for name, states in kept.items():
                found[name] = entropy_of(model.lm_head(states.to(model.device)))
    finally:
        for hook in hooks:
            hook.remove()
    return found


def medians(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each way; a round runs all of them in turn, the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            taken = way()
            print(f"round {number}: {name} {taken:.2f} s", file=sys.stderr, flush=True)
            if number:
                seconds[name].append(taken)
    return {name: statistics.median(values) for name, values in seconds.items()}


def cpu_seconds(function: Callable[[], object]) -> Callable[[], float]:
    """``function``, so that it returns the CPU time that a call took."""

    def run() -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    return run


def peak_mib(function: Callable[[], object], warm_up: Callable[[], object]) -> float:
    """The most memory that ``function`` held beyond what the process held before, MiB (Linux).

    ``warm_up`` runs before: it brings in the libraries' code, which is no memory of the function's.
    """
    warm_up()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
    before = status("VmRSS")
    function()
    return (status("VmHWM") - before) / 1024


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key + ":")).split()[1])


def in_child(script: str, *arguments: object) -> Any:
    """What ``script`` prints as JSON on its last line, run with these arguments in a process of its own."""
    command = [sys.executable, script, *(str(each) for each in arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """Where and how busy."""
    import torch

    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def command_line(description: str | None) -> argparse.ArgumentParser:
    """With the description as it is written."""
    form = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=form)


def write(result: dict[str, Any], out: Path | None) -> None:
    """Print the result, and keep it."""
    text = json.dumps(result, indent=2)
    print(text)
    if out:
        out.write_text(text + "\n")

"""The entropy sweep on a GPU: Qwen3-4B's shape, random weights, bfloat16.

    python benchmarks/gpu_entropy.py [--tokens 8192] [--rounds 3] [--out benchmarks/gpu_entropy.json]

Seconds for 100,000 tokens of
- "sweep": states and entropies of all policies (raw lens, no comparison: what the authors' script gives);
- "analysis": what `bupo.entropy` reads, both lenses with comparison;
- "products": the products of the sweep's policies with the unembedding and nothing else, the floor;
- "forward": the forward pass alone, which the sweep needs as well;
- "authors": the authors' algorithm, said anew, in float32, on the first 512 tokens of the text.

The goal is a reading at 1.5 times the floor; one at 1.25 is the stretch.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import entropy_common as common
import torch
from shapes import QWEN3_4B
from transformers import Qwen3Config, Qwen3ForCausalLM

from bupo.policies import PARTS, InternalPolicies

AUTHORS_TOKENS = 512
FLOOR_ROWS = 2**14  # of states in one product, with 2**14 of the vocabulary


def build(shape: dict[str, Any], device: str):
    """A random model in bfloat16."""
    torch.manual_seed(0)
    with torch.device(device):
        config = Qwen3Config(**shape, dtype=torch.bfloat16)
        return Qwen3ForCausalLM._from_config(config, dtype=torch.bfloat16).eval()


def seconds(function: Callable[[], object], device: str, rounds: int) -> float:
    """Median time of a call, after one that compiles and warms up."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    taken = []
    for number in range(rounds + 1):
        wait()
        start = time.perf_counter()
        function()
        wait()
        if number:
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@torch.no_grad()
def products(weight: torch.Tensor, rows: torch.Tensor, count: int) -> None:
    """``count`` rows of states times the unembedding, in large pieces, bfloat16 throughout."""
    for start in range(0, len(weight), FLOOR_ROWS):
        tile = weight[start : start + FLOOR_ROWS]
        for done in range(0, count, len(rows)):
            torch.mm(rows[: count - done], tile.T)


def measure_ours(model, ids: torch.Tensor, device: str, rounds: int) -> tuple[dict[str, float], int | None]:
    """Seconds of each way, and the most memory in MiB that reading takes beyond model and states (CUDA)."""
    policies = InternalPolicies(model)
    states = policies.states(ids)
    weight = policies.decoder.unembedding
    count = (policies.total * len(PARTS) + 2) * len(ids)
    rows = torch.randn(min(count, FLOOR_ROWS), weight.shape[1], device=device).bfloat16()
    ways = {
        "sweep": lambda: policies.read(policies.states(ids), ["raw"], compare=False),
        "reading": lambda: policies.read(states, ["raw"], compare=False),
        "analysis": lambda: policies.read(policies.states(ids), tokens=ids),
        "forward": lambda: policies.states(ids),
        "products": lambda: products(weight, rows, count),
    }
    taken = {name: seconds(way, device, rounds) for name, way in ways.items()}
    if device != "cuda":
        return taken, None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    ways["reading"]()
    return taken, round((torch.cuda.max_memory_allocated() - before) / 2**20)


def measure(shape: dict[str, Any], device: str, tokens: int, rounds: int) -> dict[str, Any]:
    """The result, less where it was measured."""
    model = build(shape, device)
    ids = common.make_ids(tokens, shape["vocab_size"]).to(device)
    taken, memory = measure_ours(model, ids, device, rounds)
    few = ids[:AUTHORS_TOKENS]
    model.float().set_attn_implementation("eager")
    authors = seconds(lambda: common.authors_way(model, few), device, rounds)
    each = {name: value / tokens * 100_000 for name, value in taken.items()}
    each["authors"] = authors / len(few) * 100_000
    return {
        "shape": shape,
        "tokens": tokens,
        "seconds_for_100000_tokens": {name: float(f"{value:.4g}") for name, value in each.items()},
        "reading_over_products": round(each["reading"] / each["products"], 3),
        "sweep_over_products": round(each["sweep"] / each["products"], 3),
        "times_faster_than_authors": round(each["authors"] / each["sweep"], 2),
        "peak_mib_of_reading_beyond_model_and_states": memory,
    }


def main() -> None:
    parser = common.command_line(__doc__)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu_entropy.py needs a CUDA device, and PyTorch finds none here")
    device = {
        "name": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    result = {"device": device, **measure(QWEN3_4B, "cuda", arguments.tokens, arguments.rounds)}
    common.write(result, arguments.out)


if __name__ == "__main__":
    main()

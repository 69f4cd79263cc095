"""Phase 1's log-probabilities, forward and backward: ours, and all layers with materialised logits.

    python benchmarks/phase1.py [--rounds 3] [--out benchmarks/phase1.json]

A random Qwen3 of 8 layers with a vocabulary of 151,936 reads 1,024 tokens; layer k's policy is trained, k of
L a quarter and a half. "ours" is `truncated_forward` and `chunked_log_prob`; "all layers" runs every layer
and materialises layer k's logits; "the authors'" materialises the final policy's as well, as their training
does. CPU time on one thread, medians of rounds in which all ways run in turn; activation memory is the peak
beyond the model and the gradients, each way in a process of its own.
"""

import argparse
import json
from pathlib import Path

import entropy_common as common

common.one_thread()

import torch  # noqa: E402

from bupo.policies import LayerIndex, chunked_log_prob, truncated_forward  # noqa: E402

LENGTH, WIDTH, LAYERS = 1024, 256, 8
WAYS = ("ours", "all_layers", "authors")


def ours(model, ids: torch.Tensor, layer: LayerIndex) -> torch.Tensor:
    with truncated_forward(model, layer):
        states = model.model(ids[None], use_cache=False).last_hidden_state[0, :-1]
    return chunked_log_prob(states, model.lm_head.weight, ids[1:]).log_prob


def materialised(model, ids: torch.Tensor, layer: LayerIndex, final: bool) -> torch.Tensor:
    kept = {}
    module = model.model.layers[layer.zero_based]
    hook = module.register_forward_hook(lambda _module, _args, output: kept.update(state=output))
    try:
        (model if final else model.model)(ids[None], use_cache=False)
    finally:
        hook.remove()
    log_policy = model.lm_head(kept["state"])[0, :-1].log_softmax(-1)
    return log_policy.gather(1, ids[1:, None])[:, 0]


def step(model, ids: torch.Tensor, layer: LayerIndex, way: str) -> float:
    """Forward and backward; the mean log-probability."""
    model.zero_grad(set_to_none=True)
    log_prob = ours(model, ids, layer) if way == "ours" else materialised(model, ids, layer, way == "authors")
    mean = log_prob.mean()
    mean.backward()
    return mean.item()


def activation_mib(number: int, way: str) -> float:
    model, ids = common.make_model(WIDTH, LAYERS).train(), common.make_ids(LENGTH)
    layer = LayerIndex(number, LAYERS)

    def warm_up() -> None:
        step(model, ids[:16], layer, way)
        model.zero_grad(set_to_none=True)

    peak = common.peak_mib(lambda: step(model, ids, layer, way), warm_up)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return peak - sum(g.numel() * g.element_size() for g in gradients) / 2**20


def measured(number: int, rounds: int) -> dict:
    model, ids, layer = (
        common.make_model(WIDTH, LAYERS).train(),
        common.make_ids(LENGTH),
        LayerIndex(number, LAYERS),
    )
    means = {way: step(model, ids, layer, way) for way in WAYS}
    timers = {way: common.cpu_seconds(lambda way=way: step(model, ids, layer, way)) for way in WAYS}
    seconds = common.medians(timers, rounds)
    memory = {way: common.in_child(__file__, "--memory-of", number, way) for way in WAYS}
    return {
        "layer": number,
        "cpu_seconds": {way: round(value, 2) for way, value in seconds.items()},
        "activation_mib": {way: round(value, 1) for way, value in memory.items()},
        "times_faster_than": {way: round(seconds[way] / seconds["ours"], 2) for way in WAYS[1:]},
        "share_of_activation_memory_of": {way: round(memory["ours"] / memory[way], 4) for way in WAYS[1:]},
        "largest_difference_of_means_nats": max(abs(means[way] - means["ours"]) for way in WAYS),
    }


def main() -> None:
    parser = common.command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        number, way = arguments.memory_of
        print(json.dumps(activation_mib(int(number), way)))
        return
    result = {
        "machine": common.machine(),
        "vocabulary": common.VOCABULARY,
        "tokens": LENGTH,
        "width": WIDTH,
        "layers": LAYERS,
        "rounds": arguments.rounds,
        "phase_1": [measured(number, arguments.rounds) for number in (LAYERS // 4, LAYERS // 2)],
    }
    common.write(result, arguments.out)


if __name__ == "__main__":
    main()

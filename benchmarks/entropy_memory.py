"""Peak memory of reading all policies, from 1,024 to 32,768 response tokens.

    python benchmarks/entropy_memory.py [--out benchmarks/entropy_memory.json]

A random Qwen3 of 2 layers and width 128 with a vocabulary of 151,936; states are random, so that what is
measured is `InternalPolicies.read` with comparison alone: its peak beyond the loaded model and beyond the
states. Each length in a process of its own. What grows by right are the results, which are given beside.
"""

import argparse
import json
from pathlib import Path

import entropy_common as common

common.one_thread()

import torch  # noqa: E402

from bupo.policies import PARTS, ByPolicy, InternalPolicies  # noqa: E402

LENGTHS = (1024, 4096, 32_768)
LAYERS, WIDTH = 2, 128


def random_states(length: int) -> ByPolicy:
    generator = torch.Generator().manual_seed(2)
    shapes = (length, WIDTH), (LAYERS, len(PARTS), length, WIDTH), (length, WIDTH)
    return ByPolicy(*(torch.randn(shape, generator=generator) for shape in shapes))


def peak(length: int) -> dict[str, float]:
    policies = InternalPolicies(common.make_model(WIDTH, LAYERS))
    states, few = random_states(length), random_states(16)
    readings = []
    mib = common.peak_mib(
        lambda: readings.append(policies.read(states, ["raw"])), lambda: policies.read(few, ["raw"])
    )
    reading = readings[0]["raw"]
    results = [reading.entropy, reading.kl_to_final, reading.top1_agreement]
    size = sum(t.numel() * t.element_size() for each in results for t in vars(each).values())
    whole = common.status("VmHWM") / 1024
    inputs = sum(t.numel() * t.element_size() for t in vars(states).values()) / 2**20
    return {
        "tokens": length,
        "states_mib": round(inputs, 1),
        "results_mib": round(size / 2**20, 1),
        "peak_mib_beyond_model_and_states": round(mib, 1),
        "peak_mib_of_the_process_less_states": round(whole - inputs, 1),
    }


def main() -> None:
    parser = common.command_line(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print(json.dumps(peak(arguments.peak_of)))
        return
    rows = [common.in_child(__file__, "--peak-of", length) for length in arguments.lengths]
    process = [row["peak_mib_of_the_process_less_states"] for row in rows]
    result = {
        "machine": common.machine(),
        "vocabulary": common.VOCABULARY,
        "layers": LAYERS,
        "width": WIDTH,
        "rows": rows,
        "largest_over_smallest": round(max(process) / min(process), 3),
    }
    common.write(result, arguments.out)


if __name__ == "__main__":
    main()

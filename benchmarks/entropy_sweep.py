"""The entropy sweep over all internal policies: ours, the authors' way, the bare products, transformer-lens.

    python benchmarks/entropy_sweep.py [--rounds 3] [--widths 256 1024] [--transformer-lens PYTHON] \
        [--out benchmarks/entropy_sweep.json]

A random Qwen3 of 4 layers with a vocabulary of 151,936 reads 512 tokens; all count as the response. CPU time
on one thread, medians of rounds in which all ways run in turn; peak memory beyond the loaded model, each way
in a process of its own. "ours" is `InternalPolicies.states` and `read` without comparison: the same entropies
as the authors', less those that are computed twice. The bare products are those of ours and nothing else.

PYTHON is the interpreter of an environment of its own with transformer-lens; without it that row is absent.
"""

import argparse
import json
import subprocess
from pathlib import Path

import entropy_common as common

common.one_thread()

import torch  # noqa: E402

from bupo.policies import PARTS, InternalPolicies  # noqa: E402
from bupo.policies.readout import Readout  # noqa: E402

LENGTH = 512
PRODUCTS = ("float32", "bfloat16")
LENS_SCRIPT = Path(__file__).with_name("entropy_transformer_lens.py")


def sweep(policies: InternalPolicies, ids: torch.Tensor):
    return policies.read(policies.states(ids), ["raw"], compare=False)["raw"].entropy


@torch.no_grad()
def bare_products(weight: torch.Tensor, rows: torch.Tensor, products: str | None) -> None:
    """The products of ``rows`` with the unembedding, in the tiles and by the kernels that the sweep uses."""
    readout = Readout(weight, products=products)
    tile, workspace, _ = readout.sizes
    rows, out = rows.to(readout.operand), readout.buffer()
    for _, factor in readout.tiles():
        for some in rows.split(workspace // tile):
            factor.times(some, out)


@torch.no_grad()
def plain_products(weight: torch.Tensor, rows: torch.Tensor, out: torch.Tensor) -> None:
    """The same by torch.mm."""
    for start in range(0, len(weight), out.shape[1]):
        tile = weight[start : start + out.shape[1]]
        torch.mm(rows, tile.T, out=out[:, : len(tile)])


def largest_difference(entropy, theirs: dict[str, torch.Tensor]) -> float:
    """Between our entropies and the authors', nats."""
    gaps = [(entropy.final - theirs["final"]).abs().max()]
    names = {"attention_input": "attention {} in", "attention": "attention {} out", "ffn_input": "ffn {} in"}
    names |= {"ffn": "ffn {} out", "layer": "layer {} out"}
    for layer in range(1, entropy.total + 1):
        for part in PARTS:
            gaps.append((entropy.of(part, layer) - theirs[names[part].format(layer)]).abs().max())
    return float(torch.stack(gaps).max())


class TransformerLens:
    """The same readout by transformer-lens, in a process of its own that runs when it is told to."""

    def __init__(self, python: str, width: int) -> None:
        command = [python, str(LENS_SCRIPT), "--width", str(width), "--length", str(LENGTH)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._ask()["version"]

    def run(self) -> float:
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        return self._ask()["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def _ask(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit("the process with transformer-lens ended early")


def timed(width: int, rounds: int, python: str | None) -> dict:
    model, ids = common.make_model(width, attn_implementation="eager"), common.make_ids(LENGTH)
    ours = {name: InternalPolicies(model, products=name) for name in PRODUCTS}
    policies = 5 * common.LAYERS + 2
    weight, rows = model.lm_head.weight, torch.randn(policies * LENGTH, width)
    out = torch.empty(len(rows), 512)
    ways = {"authors": lambda: common.authors_way(model, ids)}
    for name in PRODUCTS:
        ways[f"ours_{name}"] = lambda name=name: sweep(ours[name], ids)
        ways[f"bare_products_{name}"] = lambda name=name: bare_products(weight, rows, name)
    ways["forward"] = lambda: ours["float32"].states(ids)
    ways["bare_products_torch_mm"] = lambda: plain_products(weight, rows, out)
    timers = {name: common.cpu_seconds(way) for name, way in ways.items()}
    lens = TransformerLens(python, width) if python else None
    if lens:
        timers["transformer_lens"] = lens.run
    seconds = common.medians(timers, rounds)
    if lens:
        lens.close()
    theirs = common.authors_way(model, ids)
    result = {
        "cpu_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "times_faster_than_authors": {
            name: round(seconds["authors"] / seconds[f"ours_{name}"], 2) for name in PRODUCTS
        },
        "times_the_bare_products": {
            name: round(seconds[f"ours_{name}"] / seconds[f"bare_products_{name}"], 2) for name in PRODUCTS
        },
        "times_the_bare_products_of_torch_mm": {
            "float32": round(seconds["ours_float32"] / seconds["bare_products_torch_mm"], 2)
        },
        "times_the_bare_products_without_the_forward_pass": {
            name: round((seconds[f"ours_{name}"] - seconds["forward"]) / seconds[f"bare_products_{name}"], 2)
            for name in PRODUCTS
        },
        "largest_difference_to_authors_nats": {
            name: largest_difference(sweep(ours[name], ids), theirs) for name in PRODUCTS
        },
    }
    if lens:
        result["transformer_lens_version"] = lens.version
        result["times_faster_than_transformer_lens"] = {
            name: round(seconds["transformer_lens"] / seconds[f"ours_{name}"], 2) for name in PRODUCTS
        }
    return result


def peak(width: int, way: str) -> float:
    """MiB beyond the loaded model."""
    # To return attentions, as the authors' way does, the model has to make them.
    attention = {"attn_implementation": "eager"} if way == "authors" else {}
    model, ids = common.make_model(width, **attention), common.make_ids(LENGTH)
    few = ids[:16]
    if way == "authors":
        return common.peak_mib(lambda: common.authors_way(model, ids), lambda: common.authors_way(model, few))
    policies = InternalPolicies(model)
    if way == "ours":
        return common.peak_mib(lambda: sweep(policies, ids), lambda: sweep(policies, few))
    states = policies.states(ids)
    return common.peak_mib(
        lambda: policies.read(states, ["raw"], compare=False), lambda: sweep(policies, few)
    )


def main() -> None:
    parser = common.command_line(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--transformer-lens", metavar="PYTHON")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print(json.dumps(peak(arguments.widths[0], arguments.peak_of)))
        return
    result = {"machine": common.machine(), "vocabulary": common.VOCABULARY, "tokens": LENGTH}
    result |= {"layers": common.LAYERS, "rounds": arguments.rounds}
    for width in arguments.widths:
        shape = timed(width, arguments.rounds, arguments.transformer_lens)
        peaks = {
            way: common.in_child(__file__, "--widths", width, "--peak-of", way)
            for way in ("authors", "ours", "ours_reading_only")
        }
        shape["peak_mib_beyond_the_model"] = {way: round(value, 1) for way, value in peaks.items()}
        shape["peak_memory_share_of_authors"] = round(peaks["ours"] / peaks["authors"], 4)
        result[f"width_{width}"] = shape
    if not arguments.transformer_lens:
        result["transformer_lens"] = "not measured: --transformer-lens was not given"
    common.write(result, arguments.out)


if __name__ == "__main__":
    main()

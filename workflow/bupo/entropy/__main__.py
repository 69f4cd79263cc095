"""``python -m bupo.entropy``: the entropy analysis of one model."""

import argparse
from pathlib import Path

from bupo.errors import run_command

DESCRIPTION = """\
Sample a model's responses to problems and measure, in one forward pass over each, the entropy of every
internal policy, its change by attention, FFN and layer, residual cosines, norms, KL to and top-1 agreement
with the final policy, and the final policy's nll; then name the boundary layer (the last whose FFN raises the
entropy), or say why it is unclear.
"""
EPILOG = """\
Writes into --out: responses.parquet (token ids, text, grade), statistics.parquet (quantity, policy, layer
counted from 1, lens, anchor, slice, mean, low, high, n_tokens, n_problems; intervals are clustered by
problem), boundary.json and figures/. Killed and started again it goes on where it was. --shard I/N makes the
I-th of N shards alone, in a folder of its own; python -m bupo.entropy.merge makes the results of them.
"""


def main() -> None:
    """Parse the command line and run the analysis."""
    parser = argparse.ArgumentParser(
        prog="python -m bupo.entropy",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model.json, a directory in Hugging Face form, or a hub id")
    add_analysis_arguments(parser)
    parser.add_argument("--out", type=Path, help="folder for the results; entropy-<model name> by default")
    parser.add_argument("--shard", metavar="I/N", help="make only the I-th of N shards")
    arguments = parser.parse_args()

    from bupo.entropy.settings import read_settings
    from bupo.entropy.shard import Shard, run_shard
    from bupo.entropy.source import model_source

    settings = read_settings(arguments.spec, arguments.cells)
    source = model_source(arguments.model)
    shard = Shard() if arguments.shard is None else Shard.parse(arguments.shard)
    out = arguments.out or Path(f"entropy-{source.name}")

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    run_shard(source, arguments.problems, settings, out, shard)
    if arguments.shard is not None:
        print(f"{shard.folder(out)}/: shard {shard} is whole.")
        return

    from bupo.entropy.results import merge, present

    present(out, *merge(out, shards=1))


def add_analysis_arguments(parser: argparse.ArgumentParser) -> None:
    """What every analysis is told: problems and settings."""
    parser.add_argument(
        "--problems",
        type=Path,
        required=True,
        nargs="+",
        metavar="FILE",
        help="parquet, jsonl or csv: verl's schema (prompt, reward_model), or columns problem and answer",
    )
    parser.add_argument(
        "--spec", type=Path, help="YAML with settings as in configs/analysis/; defaults where left out"
    )
    parser.add_argument(
        "--cells",
        type=Path,
        nargs="*",
        default=[],
        metavar="CONFIG",
        help="config.yaml of training runs; the layer that each trains is compared with the later ones too",
    )


if __name__ == "__main__":
    run_command(main)

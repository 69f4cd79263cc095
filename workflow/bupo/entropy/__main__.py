"""``python -m bupo.entropy``: the entropy analysis of one model."""

import argparse
from pathlib import Path

from bupo.errors import run_command

DESCRIPTION = """\
Sample a model's responses to problems and measure, in one forward pass over each, the entropy of every
internal policy, its change by attention, FFN and layer, residual cosines, norms, and KL to and top-1
agreement with the final policy; then name the boundary layer (the last whose FFN raises the entropy), or say
why it is unclear.
"""
EPILOG = """\
Writes into --out: responses.parquet (token ids, text, grade), statistics.parquet (quantity, policy, layer
counted from 1, lens, slice, mean, low, high, n_tokens, n_problems; intervals are clustered by problem) and
boundary.json.
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
    parser.add_argument(
        "--problems",
        type=Path,
        required=True,
        help="parquet, jsonl or csv: verl's schema (prompt, reward_model), or columns problem and answer",
    )
    parser.add_argument(
        "--spec", type=Path, help="YAML with settings as in configs/analysis/; defaults where left out"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    arguments = parser.parse_args()

    from bupo.entropy.settings import Analysis, model_source
    from bupo.validation import load_yaml, validated

    settings = Analysis()
    if arguments.spec is not None:
        settings = validated(Analysis, load_yaml(arguments.spec), arguments.spec)
    source = model_source(arguments.model)

    from transformers.utils.logging import disable_progress_bar

    from bupo.entropy.analysis import analyse  # brings in torch and transformers: seconds

    disable_progress_bar()

    record = analyse(source, arguments.problems, settings, arguments.out)
    layer = record["boundary_layer"] or "unclear"
    print(f"{record['model']}: boundary layer {layer} of {record['layers']}. {record['reason']}")


if __name__ == "__main__":
    run_command(main)

"""Command line of the evaluation stage."""

import argparse
from pathlib import Path

from bupo.errors import run_command

RUN_HELP = """Draw samples for every problem of a benchmark through lm-eval, grade them, write into --out:
  shard-0.parquet  the responses: text, tokens, finish reason, key of its random numbers
  scores.parquet   problem_id, sample, correct, status, answer, gold, n_tokens, verdict of each grading rule
  summary.json     avg@n, pass@k, maj@n with intervals over problems and over decoding, shares, settings
Started again it draws only what is missing; with another grader it draws nothing."""


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m bupo.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="evaluate one model on one benchmark",
        description=RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "--model", required=True, help="models/M/model.json, or a run's folder with model/ in it"
    )
    run.add_argument(
        "--benchmark", required=True, type=Path, help="data/<prompt>/<set>.parquet (verl's schema)"
    )
    run.add_argument(
        "--spec", required=True, type=Path, help="YAML with the settings (configs/evaluation/*.yaml)"
    )
    run.add_argument("--out", required=True, type=Path, help="folder of this evaluation")
    arguments = parser.parse_args()

    from bupo.evaluation.config import read_settings
    from bupo.evaluation.run import evaluate

    summary = evaluate(arguments.model, arguments.benchmark, read_settings(arguments.spec), arguments.out)
    avg = summary["avg_at_n"]
    print(
        f"{summary['run']} on {summary['benchmark']}: avg@{summary['n_samples']} {avg['value']:.3f} "
        f"[{avg['low']:.3f}, {avg['high']:.3f}] over {summary['n_problems']} problems"
    )


if __name__ == "__main__":
    run_command(main)

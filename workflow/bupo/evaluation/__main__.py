"""Command line of the evaluation stage."""

import argparse
from pathlib import Path
from typing import Any

from bupo.errors import run_command

RUN_HELP = """Draw samples for every problem of a benchmark, grade them through lm-eval, write into --out:
  shard-1-of-1-samples-0-31.parquet  the responses: text, tokens, finish reason, key of its random numbers
  scores.parquet   problem_id, sample, correct, status, answer, gold, n_tokens, verdict of each grading rule
  disagreements.csv  answers that the two grading rules score differently, and what each has read
  summary.json     avg@n, pass@k, maj@n with intervals over problems and over decoding, shares, settings
Started again it draws only what is missing; with another grader it draws nothing."""

SAMPLE_HELP = """Draw one shard of an evaluation into --out: of some of the problems some of the samples.
Samples that lie there already, in a shard of whatever cut, are taken over and not drawn again."""

GRADE_HELP = """Grade the samples in --out without a model or a GPU; writes the files of run but the shards.
All samples 0 to n-1 of every problem must be there, in shards of whatever cut."""


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m bupo.evaluation", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = _command(commands, "run", "evaluate one model on one benchmark", RUN_HELP)
    sample = _command(commands, "sample", "draw one shard of the samples", SAMPLE_HELP)
    sample.add_argument("--shard", required=True, metavar="I/N", help="the I-th of N parts of the problems")
    sample.add_argument(
        "--samples", required=True, metavar="A-B", help="numbers of the samples, from 0, both inside: 0-15"
    )
    for command in (run, sample):
        command.add_argument(
            "--model", required=True, help="models/M/model.json, or a run's folder with model/ in it"
        )
    grade = _command(commands, "grade", "grade stored samples", GRADE_HELP)
    grade.add_argument("--model", help="whose samples, where those of several models lie in --out")
    commands.add_parser("tasks", help="print the folder of the task files, for lm-eval --include_path")
    arguments = parser.parse_args()

    if arguments.command == "tasks":
        from bupo.evaluation.task import TASK_DIRECTORY

        print(TASK_DIRECTORY)
    elif arguments.command == "sample":
        from bupo.evaluation.config import read_decoding
        from bupo.evaluation.run import sample as draw
        from bupo.evaluation.shards import Shard

        shard, decoding = Shard.parse(arguments.shard, arguments.samples), read_decoding(arguments.spec)
        print(f"{draw(arguments.model, arguments.benchmark, decoding, arguments.out, shard)} is whole.")
    else:
        from bupo.evaluation.config import read_settings
        from bupo.evaluation.grade import grade as grade_samples
        from bupo.evaluation.run import evaluate

        settings = read_settings(arguments.spec)
        if arguments.command == "run":
            summary = evaluate(arguments.model, arguments.benchmark, settings, arguments.out)
        else:
            summary = grade_samples(arguments.benchmark, settings, arguments.out, arguments.model)
        print(told(summary))


def told(summary: dict[str, Any]) -> str:
    """The headline of a summary."""
    avg = summary["avg_at_n"]
    return (
        f"{summary['run']} on {summary['benchmark']}: avg@{summary['n_samples']} {avg['value']:.3f} "
        f"[{avg['low']:.3f}, {avg['high']:.3f}] over {summary['n_problems']} problems"
    )


def _command(commands: Any, name: str, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--benchmark", required=True, type=Path, help="data/<prompt>/<set>.parquet (verl's schema)"
    )
    parser.add_argument(
        "--spec", required=True, type=Path, help="YAML with the settings (configs/evaluation/*.yaml)"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of this evaluation")
    return parser


if __name__ == "__main__":
    run_command(main, stages=("run", "sample", "grade"))

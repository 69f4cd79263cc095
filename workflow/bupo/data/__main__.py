"""Command line of the data stage: ``python -m bupo.data normalise | contamination | export``."""

import argparse
import sys
from pathlib import Path

from bupo.errors import UserError, run_command

PROMPT_NAMES = ("plain", "qwen", "octothinker")


def main() -> None:
    """Run one subcommand."""
    arguments = parser().parse_args()
    arguments.run(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="python -m bupo.data", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    normalise = commands.add_parser(
        "normalise",
        help="turn a set's upstream files into the normal form",
        description="Reads the set that a spec describes, in any upstream form. Writes it in the normal form "
        "(parquet: id, problem, answer, subject, level, solution, source, what the row was upstream) and a "
        "report with counts, repairs, and every dropped row with its reason.",
    )
    normalise.add_argument(
        "--spec", required=True, type=Path, help="YAML: {set, source, directory, seed, limit}"
    )
    normalise.add_argument("--out", required=True, type=Path, help="parquet file to write")
    normalise.add_argument("--report", required=True, type=Path, help="JSON file to write")
    normalise.set_defaults(run=run_normalise)

    gate = commands.add_parser(
        "contamination",
        help="find benchmark problems in training sets",
        description="Reads sets in normal form. Writes which training problems repeat a benchmark problem "
        "(same letters and digits, or word 8-gram Jaccard above 0.8), which may be reworded ones, and which "
        "only look alike.",
    )
    gate.add_argument("--train", required=True, nargs="+", type=Path, help="training sets in normal form")
    gate.add_argument("--benchmarks", required=True, nargs="+", type=Path, help="benchmarks in normal form")
    gate.add_argument(
        "--spare", nargs="*", type=Path, default=[], help="other sets: leaks are told, not removed"
    )
    gate.add_argument("--out", required=True, type=Path, help="JSON file to write")
    gate.set_defaults(run=run_contamination)

    export = commands.add_parser(
        "export",
        help="write a set in verl's schema with a model family's prompt",
        description="Reads a set in normal form, writes verl's parquet. With --contamination the set is a "
        "training set: its leaked rows and those whose gold answer the grader cannot read are left out.",
    )
    export.add_argument("--normal", required=True, type=Path, help="set in normal form")
    export.add_argument("--prompt", required=True, choices=PROMPT_NAMES, help="how the problem is put")
    export.add_argument("--contamination", type=Path, help="contamination.json; given for training sets")
    export.add_argument(
        "--keep-unreadable", action="store_true", help="train on answers the grader cannot read, too"
    )
    export.add_argument("--model", type=Path, help="model.json, for its tokenizer; with --max-prompt-tokens")
    export.add_argument("--max-prompt-tokens", type=int, help="leave out longer prompts")
    export.add_argument("--limit", type=int, help="use only the first so many of the problems that are left")
    export.add_argument("--out", required=True, type=Path, help="parquet file to write")
    export.add_argument("--report", type=Path, help="JSON file to write: what was left out and why")
    export.set_defaults(run=run_export)
    return top


def run_normalise(arguments: argparse.Namespace) -> None:
    """``normalise``."""
    from bupo.data.config import DataSpec
    from bupo.data.normal import write_normal
    from bupo.data.normalise import normalise
    from bupo.files import write_json
    from bupo.validation import load_yaml, validated

    spec = validated(DataSpec, load_yaml(arguments.spec), arguments.spec)
    problems, report = normalise(spec)
    if not problems:
        raise UserError(
            f"{arguments.spec}: no row of the set {spec.set.name} can be used; its report would be empty."
        )
    write_normal(problems, arguments.out)
    write_json(arguments.report, report)
    rows = report["rows"]
    for text, times in report["repairs"]["corrections"].items():
        if not times:
            tell(f"{spec.set.name}: the correction of {text!r} found nothing to correct")
    kept = f"{rows['kept']} of {rows['upstream']} rows kept"
    tell(f"{spec.set.name}: {kept}, {rows['dropped']} dropped with a reason")


def run_contamination(arguments: argparse.Namespace) -> None:
    """``contamination``."""
    from bupo.data.answers import Answers
    from bupo.data.contamination import report
    from bupo.data.normal import read_normal
    from bupo.files import write_json

    train, benchmarks, spare = (
        {path.stem: read_normal(path) for path in paths}
        for paths in (arguments.train, arguments.benchmarks, arguments.spare)
    )
    with Answers() as answers:
        found = report(train, benchmarks, spare, answers.same)
    write_json(arguments.out, found)
    for pair in found["pairs"]:
        if pair["inside"]:
            tell(pair["told"])
    tell(f"{len(found['leaks'])} leaks, {len(found['review'])} pairs to look at")


def run_export(arguments: argparse.Namespace) -> None:
    """``export``."""
    from bupo.data.export import account, leaked_ids, usable, within_length, write_verl
    from bupo.data.normal import read_normal
    from bupo.data.prompts import PROMPTS
    from bupo.files import read_json, write_json

    if (arguments.model is None) != (arguments.max_prompt_tokens is None):
        raise UserError("--model and --max-prompt-tokens go together; both or neither would be right.")
    problems = read_normal(arguments.normal)
    training = arguments.contamination is not None
    leaked = leaked_ids(arguments.contamination) if training else {}
    kept, left = usable(problems, leaked, keep_unreadable=arguments.keep_unreadable or not training)
    prompt = PROMPTS[arguments.prompt]
    if arguments.model is not None:
        from transformers import AutoTokenizer

        model = read_json(arguments.model)
        tokenizer = AutoTokenizer.from_pretrained(model["path"], revision=model["revision"] or "main")
        kept, more = within_length(kept, prompt, tokenizer, arguments.max_prompt_tokens)
        left += more
    if arguments.limit is not None:
        reason = f"over the limit of {arguments.limit}"
        left += [{"id": problem.id, "reason": reason} for problem in kept[arguments.limit :]]
        kept = kept[: arguments.limit]
    write_verl(kept, prompt, "train" if training else "test", arguments.out)
    summary = account(problems, kept, left, arguments.prompt)
    if arguments.report:
        write_json(arguments.report, summary)
    reasons = ", ".join(f"{n} {reason}" for reason, n in summary["reasons"].items()) or "none"
    written = f"{len(kept)} of {len(problems)} rows written with the prompt {arguments.prompt}"
    tell(f"{summary['set']}: {written}; left out: {reasons}")


def tell(line: str) -> None:
    """One line of progress on stderr."""
    print(f"[data] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command(main)

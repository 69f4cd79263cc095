"""Command line of the models stage: ``python -m bupo.models prepare``."""

import argparse
from pathlib import Path

from bupo.errors import run_command


def main() -> None:
    """Run one subcommand."""
    arguments = parser().parse_args()
    arguments.run(arguments)


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="python -m bupo.models", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    prepare = commands.add_parser(
        "prepare",
        help="build a model, or check one of the hub or of a folder",
        description="Reads a spec: {model: what configs/model/NAME.yaml says, seed: of building}. Writes "
        "OUT/model.json: name, path (or hub id), revision, architecture, layers, hidden_size, vocab_size, "
        "parameters, prompt, and the SHA-256 of its files. A model of kind built is made from random "
        "weights, warmed up on worked solutions and written to OUT, too; of one on the hub only the commit "
        "and the configuration are looked up.",
    )
    prepare.add_argument("--spec", required=True, type=Path, help="YAML: {model, seed}")
    prepare.add_argument("--out", required=True, type=Path, help="folder to write")
    prepare.set_defaults(run=run_prepare)
    return top


def run_prepare(arguments: argparse.Namespace) -> None:
    """``prepare``: see its --help."""
    from transformers.utils import logging

    from bupo.models.prepare import prepare

    logging.disable_progress_bar()  # the stage tells its own progress
    description = prepare(arguments.spec, arguments.out)
    print(
        f"{description['name']}: {description['architecture']}, {description['layers']} layers, "
        f"{description['path']}"
    )


if __name__ == "__main__":
    run_command(main)

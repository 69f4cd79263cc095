"""``bupo``, or ``python -m bupo``: questions that a person asks of a grid of experiments."""

import argparse
import signal
import sys
from importlib import import_module

from bupo.errors import run_quietly

COMMANDS = ("plan", "doctor", "status", "why", "compare")


def main() -> None:
    """Parse the command line and run one command; its answer is the exit status."""
    parser = argparse.ArgumentParser(prog="bupo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = import_module(f"bupo.console.{name}")
        summary, _, more = (module.__doc__ or name).partition("\n\n")
        command = commands.add_parser(
            name,
            help=summary.partition(": ")[2].rstrip("."),
            description=summary.partition(": ")[2],
            epilog=more,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print it as JSON")
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    sys.exit(arguments.run(arguments))


def entry() -> None:
    """The console script."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `bupo status | head` is no mistake
    run_quietly(main)


if __name__ == "__main__":
    entry()

"""``python -m bupo.experiment``: check an experiment, write one cell's configuration, find the results."""

import argparse
from pathlib import Path

from bupo.errors import run_command


def main() -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m bupo.experiment", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    check = commands.add_parser("check", help="validate an experiment and print its cells; writes nothing")
    check.add_argument("name", help="a file of configs/experiment/, without its ending")
    check.add_argument("overrides", nargs="*", help="changes to it by dotted key, as in training.steps=20")
    check.add_argument("--configs", type=Path, default=Path("configs"))

    configure = commands.add_parser("configure", help="write one cell's complete verl configuration")
    configure.add_argument("--spec", type=Path, required=True, help="the cell's spec file")
    configure.add_argument("--model", type=Path, required=True, help="model.json of the cell's model")
    configure.add_argument(
        "--boundary", type=Path, nargs="?", help="boundary.json, where the cell's layer is auto"
    )
    configure.add_argument(
        "--composed", type=Path, required=True, help="folder of what was composed for all cells"
    )
    configure.add_argument("--out", type=Path, required=True, help="the config.yaml to write")

    where = commands.add_parser("where", help="print where the results are and how to look at them")
    where.add_argument("name", help="a file of configs/experiment/, without its ending")
    where.add_argument("--results", default="results")

    args = parser.parse_args()
    if args.command == "check":
        from bupo.experiment.resolve import plan_of

        plan = plan_of(args.name, args.overrides, args.configs)
        for cell in plan.cells:
            print(cell.run)
    elif args.command == "where":
        from bupo.experiment.where import where as tell

        print(tell(args.name, args.results))
    else:
        from bupo.experiment.configure import configure as write

        write(args.spec, args.model, args.boundary, args.composed, args.out)


if __name__ == "__main__":
    run_command(main, stages=("configure",))

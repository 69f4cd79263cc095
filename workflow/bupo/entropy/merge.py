"""``python -m bupo.entropy.merge``: the results of an analysis that was cut into shards."""

import argparse
from pathlib import Path

from bupo.errors import UserError, run_command

DESCRIPTION = """\
Make responses.parquet, statistics.parquet, boundary.json and figures/ from the shards of one analysis, as one
run would have made them, bit for bit.
"""


def main() -> None:
    """Parse the command line and merge."""
    parser = argparse.ArgumentParser(prog="python -m bupo.entropy.merge", description=DESCRIPTION)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder that holds shard-1-of-N/ to shard-N-of-N/"
    )
    parser.add_argument("--shards", type=int, required=True, metavar="N", help="how many shards there are")
    arguments = parser.parse_args()
    if arguments.shards < 1:
        raise UserError(f"--shards {arguments.shards}: at least 1 would be right.")

    from bupo.entropy.results import merge, present

    table, record = merge(arguments.out, arguments.shards)
    present(arguments.out, table, record)


if __name__ == "__main__":
    run_command(main)

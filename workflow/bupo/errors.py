"""The one kind of error that a user is meant to read."""

import sys
import time
from collections.abc import Callable, Collection

from bupo.commit import commit, tell_commit
from bupo.progress import tell_job
from bupo.spent import tell_spent


class UserError(Exception):
    """A mistake in the user's input, told in one sentence.

    The sentence names the file, the key, the value that was given and what would be right.
    """


def run_command(main: Callable[[], None], stages: Collection[str] | None = None) -> None:
    """Run a stage's ``main`` as `run_quietly` does; tell its Slurm job first, at its end its commit and cost.

    Args:
        main: of the command line.
        stages: those of its commands that are jobs of the workflow; what others cost no log is there to tell.
            None for all.
    """
    if stages is not None and not set(sys.argv[1:2]) & set(stages):
        run_quietly(main)
        return
    began, code = time.monotonic(), commit()
    tell_job()
    run_quietly(main)
    tell_commit(code)
    tell_spent(began)


def run_quietly(main: Callable[[], None]) -> None:
    """Run a command line's ``main``; a `UserError` becomes one line on stderr and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

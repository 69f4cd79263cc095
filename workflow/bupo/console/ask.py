"""Ask a program, which may hang or be missing, and wait for it no longer than there is time."""

import math
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TIMEOUT_S = 8


@dataclass(frozen=True)
class Failed:
    """A command that gave no answer, and why.

    Attributes:
        refusal: what it said where it ended with an error; None where it did not end, or was not there.
    """

    why: str
    refusal: str | None = None


def ask(
    command: Sequence[str],
    timeout: float = TIMEOUT_S,
    environment: Mapping[str, str] | None = None,
    until: float = math.inf,
) -> str | Failed:
    """What a command prints.

    Args:
        command: its words.
        timeout: seconds to wait for it at most.
        environment: variables beside this process's own.
        until: moment of ``time.monotonic`` until which it is waited for at most, the same for all questions.
    """
    variables = {**os.environ, **(environment or {})}
    timeout = min(timeout, until - time.monotonic())
    if timeout <= 0:
        return Failed(f"{command[0]} was not asked, for other commands did not answer in time")
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, env=variables
        )
    except subprocess.TimeoutExpired:
        return Failed(f"{command[0]} did not answer within {timeout:.2g} s")
    except OSError as error:
        return Failed(f"{command[0]} cannot be started ({error.strerror})")
    if result.returncode:
        said = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Failed(
            f"{command[0]} ended with status {result.returncode}: {said[:200]}", result.stderr.strip()
        )
    return result.stdout

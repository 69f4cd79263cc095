"""Daemons in the foreground, which end with the process that started them."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
WAIT_S = 60


class Daemon:
    """A daemon, and a log beside it that is named after it.

    Args:
        folder: of the log.
        command: its words.
        environment: variables beside this process's own.
    """

    def __init__(
        self, folder: Path, command: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = folder / f"{command[0]}.log"
        self.command = command
        self.environment = {**os.environ, "PATH": PATH, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.process is not None and self.process.poll() is None:
            return
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                # it goes with this process, however that ends
                ["setpriv", "--pdeathsig", "TERM", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop it, unless it does not run."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def daemon(folder: Path, *command: str, environment: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """Run a daemon meanwhile."""
    started = Daemon(folder, list(command), environment)
    started.start()
    try:
        yield started
    finally:
        started.stop()


def answer(*command: str) -> str | None:
    """What a command says, or None where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    return done.stdout.strip() if done.returncode == 0 else None


def wait_for(ready: Callable[[], bool], what: str) -> None:
    """Wait until something is there.

    Raises:
        RuntimeError: it did not come.
    """
    deadline = time.monotonic() + WAIT_S
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not answer within {WAIT_S} s")
        time.sleep(0.1)

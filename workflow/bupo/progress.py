"""Progress of a long stage as plain lines: which stage, how far, about how long still."""

import os
import re
import sys
import time
from typing import TextIO

JOB = re.compile(r"^\[slurm\] job (\S+) on (.+)$", re.MULTILINE)
"""What `tell_job` writes into a log."""


def duration(seconds: float) -> str:
    """A length of time for people: ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def tell_job() -> None:
    """Print the Slurm job of this process, if any: a stage's log then says where its results are from."""
    if "SLURM_JOB_ID" in os.environ:
        node = os.environ.get("SLURMD_NODENAME", "an unnamed node")
        print(f"[slurm] job {os.environ['SLURM_JOB_ID']} on {node}", file=sys.stderr, flush=True)


class Progress:
    """Prints ``[stage] 12/40 steps, about 35 s left``, at most once per ``every`` seconds.

    To stderr, or to ``stream`` where stderr is redirected.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        unit: str,
        every: float = 5.0,
        done: int = 0,
        stream: TextIO | None = None,
    ) -> None:
        self.stage, self.total, self.unit, self.every = stage, total, unit, every
        self.stream = stream
        self.start_done = done
        self.start = time.monotonic()
        self.printed = self.start

    def update(self, done: int, note: str = "") -> None:
        """Tell that ``done`` of ``total`` units are finished; ``note`` is shown as it is."""
        now = time.monotonic()
        if done < self.total and now - self.printed < self.every:
            return
        self.printed = now
        fresh = done - self.start_done
        line = f"[{self.stage}] {done}/{self.total} {self.unit}"
        if note:
            line += f", {note}"
        if done < self.total and fresh > 0:
            line += f", about {duration((now - self.start) / fresh * (self.total - done))} left"
        elif done >= self.total:
            line += f", {duration(now - self.start)}"
        print(line, file=self.stream or sys.stderr, flush=True)

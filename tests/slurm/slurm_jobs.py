"""What Slurm says of jobs, and what is done to them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grid import wait_until

STAGES = {"bupo.training", "bupo.evaluation"}


def told(*command: str) -> str:
    """What a command of Slurm's prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def described(job: str) -> dict[str, str]:
    """What Slurm knows of a job, by its words."""
    words = told("scontrol", "--oneliner", "show", "job", job).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def seconds_left(job: str) -> int:
    """Until Slurm ends a job."""
    minutes, seconds = told("squeue", "--noheader", "--format=%L", "--jobs", job).split(":")
    return 60 * int(minutes) + int(seconds)


def programs(job: str) -> list[int]:
    """Processes of a job that run a stage of the pipeline."""
    number = described(job)["JobId"]  # a task of an array has one of its own
    done = subprocess.run(["scontrol", "listpids", number], capture_output=True, text=True)
    pids = {int(row.split()[0]) for row in done.stdout.splitlines()[1:]}  # empty before the first
    return [pid for pid in pids if STAGES & set(command_line(pid))]


def command_line(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().split("\0")
    except FileNotFoundError:
        return []


def send(number: int, job: str) -> None:
    """Send a signal to those processes of a job that do its work."""
    for pid in programs(job):
        os.kill(pid, number)


def freeze(job: str) -> None:
    """Let a job hold still as soon as it works."""
    wait_until(lambda: programs(job))
    send(signal.SIGSTOP, job)


@contextmanager
def urgent_job() -> Iterator[str]:
    """A job that takes the node from all that let it, while it is there."""
    asked = ("--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 600")
    job = told("sbatch", "--parsable", *asked).strip()
    try:
        yield job
    finally:
        subprocess.run(["scancel", job], check=True)

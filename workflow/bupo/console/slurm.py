"""What Slurm and Snakemake know of jobs that are submitted: the queue, and which job makes which file."""

import json
import math
import os
import shutil
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 8
INCOMPLETE = Path(".snakemake/incomplete")
"""Snakemake's marks of outputs that are being made; each has the job's id where it was submitted."""


@dataclass(frozen=True)
class Job:
    """A job in Slurm's queue.

    Attributes:
        state: as Slurm says it, such as RUNNING or PENDING.
        reason: why it waits, or the nodes that it runs on.
    """

    job_id: str
    state: str
    reason: str


@dataclass(frozen=True)
class Queue:
    """The user's jobs in Slurm's queue.

    Attributes:
        jobs: by each id that they go by (an array's task has two), and by Snakemake's comment on them.
        problem: why the queue could not be read; None where it was, or where there is no Slurm.
    """

    jobs: Mapping[str, Job]
    problem: str | None = None


def read_queue() -> Queue:
    """The user's jobs, from ``squeue``."""
    if shutil.which("squeue") is None:
        return Queue({})
    found = ask(["squeue", "--me", "--noheader", "--array", "--format=%A|%i|%T|%k|%R"])
    if isinstance(found, Failed):
        return Queue({}, problem=found.why)
    jobs: dict[str, Job] = {}
    for line in found.splitlines():
        number, name, state, comment, reason = (line.split("|", maxsplit=4) + [""] * 5)[:5]
        jobs |= dict.fromkeys((number, name, comment), Job(name, state, reason))
    return Queue(jobs)


@dataclass(frozen=True)
class Failed:
    """A command that gave no answer, and why."""

    why: str


def ask(
    command: Sequence[str], timeout: float = TIMEOUT_S, environment: Mapping[str, str] | None = None
) -> str | Failed:
    """What a command prints.

    Args:
        command: its words.
        timeout: seconds to wait for it at most.
        environment: variables beside this process's own.
    """
    variables = {**os.environ, **(environment or {})}
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=variables)
    except subprocess.TimeoutExpired:
        return Failed(f"{command[0]} did not answer within {timeout:g} s")
    except OSError as error:
        return Failed(f"{command[0]} cannot be started ({error.strerror})")
    if result.returncode:
        said = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Failed(f"{command[0]} ended with status {result.returncode}: {said[:200]}")
    return result.stdout


def time_limits() -> dict[str, float] | Failed:
    """Minutes that a job may take in each of Slurm's partitions; the default one's also as ``""``."""
    listed = ask(["sinfo", "--noheader", "--format=%P|%l"])
    if isinstance(listed, Failed):
        return listed
    found: dict[str, float] = {}
    for line in listed.splitlines():
        name, _, limit = line.strip().partition("|")
        minutes = _minutes(limit)
        found[name.removesuffix("*")] = minutes
        if name.endswith("*"):
            found[""] = minutes
    return found


def time_limit(limits: Mapping[str, float], partition: str | None) -> float:
    """Minutes that a job may take where it goes, infinite where Slurm does not say it.

    Args:
        limits: see `time_limits`.
        partition: sbatch's ``--partition``, where several may be named; None: the default one.
    """
    return max(limits.get(name.strip(), math.inf) for name in (partition or "").split(","))


def _minutes(limit: str) -> float:
    """Minutes of ``infinite`` or ``[days-][[hours:]minutes:]seconds``."""
    days, _, clock = limit.rpartition("-")
    try:
        seconds = [float(part) for part in clock.split(":")]
        hours, minutes, rest = [0.0, 0.0, *seconds][-3:]
        return float(days or 0) * 1440 + hours * 60 + minutes + rest / 60
    except ValueError:  # infinite, n/a
        return math.inf


def submitted(root: Path = Path()) -> dict[str, str | None]:
    """The outputs that Snakemake holds for being made, and the job that was submitted for each.

    Args:
        root: the project's folder.

    Returns:
        Job ids by output; None for a job on this machine, and where a job of Slurm's has begun and marked its
        output anew. A mark stays where Snakemake was killed.
    """
    folder, found = root / INCOMPLETE, {}
    for path in folder.rglob("*") if folder.is_dir() else ():
        if not path.is_file():
            continue
        # A long name is spread over folders, each marked by "@".
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        try:
            output = urlsafe_b64decode(name).decode()
            found[output] = json.loads(path.read_text(encoding="utf-8")).get("external_jobid")
        except (ValueError, OSError):  # not one of its marks, or just removed
            continue
    return found

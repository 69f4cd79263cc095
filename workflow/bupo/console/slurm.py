"""What Slurm and Snakemake know of jobs that are submitted: the queue, and which job makes which file."""

import json
import math
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bupo.console.ask import Failed, ask
from bupo.files import sha256_text

INCOMPLETE = Path(".snakemake/incomplete")
"""Snakemake's marks of outputs that are being made; each has the job's id where it was submitted."""
RECORDS = Path(".snakemake/slurm_jobs")
"""The executor's records of jobs that were submitted, by a hash of their first output."""


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


def read_queue(until: float = math.inf) -> Queue:
    """The user's jobs, from ``squeue``; not waited for longer than ``until``, see `ask`."""
    if shutil.which("squeue") is None:
        return Queue({})
    found = ask(["squeue", "--me", "--noheader", "--array", "--format=%A|%i|%T|%k|%R"], until=until)
    if isinstance(found, Failed):
        return Queue({}, problem=found.why)
    jobs: dict[str, Job] = {}
    for line in found.splitlines():
        number, name, state, comment, reason = (line.split("|", maxsplit=4) + [""] * 5)[:5]
        # the executor puts a word after Snakemake's comment
        jobs |= dict.fromkeys((number, name, comment.partition(" ")[0]), Job(name, state, reason))
    return Queue(jobs)


def time_limits() -> dict[str, float] | Failed:
    """Minutes that a job may take in each of Slurm's partitions; the default one's also as ``""``."""
    listed = ask(["sinfo", "--noheader", "--format=%P|%l"])
    if isinstance(listed, Failed):
        return listed
    return limits_in(line.strip().split("|")[:2] for line in listed.splitlines() if "|" in line)


def limits_in(rows: Iterable[Sequence[str]]) -> dict[str, float]:
    """The limits as `time_limits` has them, of names and limits as ``sinfo`` writes them."""
    found: dict[str, float] = {}
    for name, limit in rows:
        found[name.removesuffix("*")] = _minutes(limit)
        if name.endswith("*"):
            found[""] = _minutes(limit)
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
        Job ids by output; None for a job on this machine, and for all but the first output of a job of
        Slurm's that has begun. A mark stays where Snakemake was killed.
    """
    folder, found = root / INCOMPLETE, {}
    for path in folder.rglob("*") if folder.is_dir() else ():
        if not path.is_file():
            continue
        # A long name is spread over folders, each marked by "@".
        name = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
        try:
            output = urlsafe_b64decode(name).decode()
            mark = json.loads(path.read_text(encoding="utf-8")).get("external_jobid")
            # a job that has begun has marked its output anew
            found[output] = mark or _recorded(root / RECORDS / f"{sha256_text(output)[:32]}.json")
        except (ValueError, OSError):  # not one of its marks, or just removed
            continue
    return found


def _recorded(path: Path) -> str | None:
    try:
        job_id = json.loads(path.read_text(encoding="utf-8"))["job_id"]
    except (OSError, ValueError, KeyError):
        return None
    return str(job_id) or None

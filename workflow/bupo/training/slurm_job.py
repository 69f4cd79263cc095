"""The Slurm job that a training runs in: its nodes, when it ends, and how it is queued again."""

import os
import re
import subprocess
import sys
import time

END_TIME = "SLURM_JOB_END_TIME"
"""Slurm's variable, from 23.02 on: when the allocation ends, in seconds since the epoch."""
JOB_ID = "SLURM_JOB_ID"
NODES = "SLURM_JOB_NODELIST"
QUEUE_AGAIN = "BUPO_QUEUE_AGAIN"
"""Set where a job may be queued again: by the workflow, whose jobs do nothing beside one training."""
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


def end_of_job() -> float | None:
    """When this process's Slurm job ends, in seconds since the epoch; None for never, or without one."""
    if END_TIME in os.environ:
        return float(os.environ[END_TIME])
    if JOB_ID not in os.environ:
        return None
    left = _LEFT.fullmatch(_of_job("%L"))  # or UNLIMITED
    if left is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in left.groups())
    return time.time() + 86400 * days + 3600 * hours + 60 * minutes + seconds


def nodes_of_job() -> str:
    """The nodes of this process's Slurm job, as Slurm writes them (``a[1-2]``); empty where it does not say.

    ``SLURM_JOB_NODELIST`` counts only where Slurm does not answer: srun sets it to the nodes of its step, and
    the step that the workflow starts a training in has one.
    """
    return _of_job("%N") or os.environ.get(NODES, "")


def makes_room(since: float) -> bool:
    """Whether Slurm asked this process's job since then to make room for another, and lets it end in peace.

    Slurm queues a job again when its grace is over; one that ends before that has failed for it. One that is
    cancelled meanwhile does not run any more for Slurm: queued again, it would come back.

    Args:
        since: when this process began, in seconds since the epoch: the time stays with a job that runs again.
    """
    if JOB_ID not in os.environ:
        return False
    state, _, asked = _of_job("State:20,PreemptTime:20", option="--Format").partition(" ")
    return state == "RUNNING" and asked.strip().isdigit() and int(asked) >= int(since)


def _of_job(field: str, option: str = "--format") -> str:
    """What squeue tells of this process's job, times since the epoch; empty where it does not answer."""
    command = ["squeue", "--noheader", f"--jobs={os.environ[JOB_ID]}", f"{option}={field}"]
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()


def queue_again() -> bool:
    """Queue this process's Slurm job again, which ends it, and whether that was done.

    It keeps its number, and for the workflow it goes on as one job, however often its time is over.
    """
    if QUEUE_AGAIN not in os.environ or JOB_ID not in os.environ:
        return False
    command = ["scontrol", "requeue", os.environ[JOB_ID]]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"the job could not be queued again: {error}", file=sys.stderr)
        return False
    if result.returncode:
        print(f"the job could not be queued again: {result.stderr.strip()}", file=sys.stderr)
    return result.returncode == 0

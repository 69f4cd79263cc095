"""The Slurm job that a training runs in: when it ends, and how it is queued again."""

import os
import re
import subprocess
import sys
import time

END_TIME = "SLURM_JOB_END_TIME"
"""Slurm's variable, from 23.02 on: when the allocation ends, in seconds since the epoch."""
JOB_ID = "SLURM_JOB_ID"
QUEUE_AGAIN = "BUPO_QUEUE_AGAIN"
"""Set where a job may be queued again: by the workflow, whose jobs do nothing beside one training."""
_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


def end_of_job() -> float | None:
    """When this process's Slurm job ends, in seconds since the epoch; None for never, or without one."""
    if END_TIME in os.environ:
        return float(os.environ[END_TIME])
    if JOB_ID not in os.environ:
        return None
    command = ["squeue", "--noheader", f"--jobs={os.environ[JOB_ID]}", "--format=%L"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    left = _LEFT.fullmatch(result.stdout.strip())  # or UNLIMITED
    if left is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in left.groups())
    return time.time() + 86400 * days + 3600 * hours + 60 * minutes + seconds


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

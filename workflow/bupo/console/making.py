"""How a result was made, from the logs of its jobs and Snakemake's records; else `NOT_RECORDED`."""

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bupo.commit import LINE as COMMIT
from bupo.console.shared import several
from bupo.progress import JOB
from bupo.spent import read_spent

NOT_RECORDED = "not recorded"
METADATA = Path(".snakemake/metadata")

Facts = dict[str, Any]


def making(output: Path, log: Path) -> Facts:
    """The jobs that made a result: the one that wrote it, and those that made parts of it before.

    Args:
        output: the result.
        log: of its job; those of its parts are in the folder of its name.
    """
    logs = [*sorted(log.with_suffix("").glob("shard-*.log")), log]
    jobs = [_job(path) for path in logs if path.is_file()]
    return {
        "made": made(output),
        "commit": one(list(dict.fromkeys(job["commit"] for job in jobs))),
        "jobs": jobs or NOT_RECORDED,
        "GPU-hours": summed([job["GPU-hours"] for job in jobs], "job"),
    }


def _job(log: Path) -> Facts:
    """What a log tells of the call that wrote it."""
    text, spent = log.read_text(encoding="utf-8", errors="replace"), read_spent(log)
    jobs, commits = JOB.findall(text), COMMIT.findall(text)
    return {
        "log": str(log),
        "Slurm job": " on ".join(jobs[-1]) if jobs else None,
        "commit": commits[-1] if commits else NOT_RECORDED,
        "GPU-hours": NOT_RECORDED if spent is None else spent.gpus * spent.wall_s / 3600,
    }


def made(output: Path, root: Path = Path()) -> Facts | str:
    """What Snakemake recorded of an output: its rule, when it was started (or submitted), when finished."""
    folder = root / METADATA
    if not folder.is_dir():
        return NOT_RECORDED
    # A long name is spread over folders, each marked by "@".
    longest = os.pathconf(folder, "PC_NAME_MAX") - 1
    encoded = urlsafe_b64encode(str(output).encode()).decode()
    parts = [encoded[i : i + longest] for i in range(0, len(encoded), longest)]
    path = folder.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        started, finished = (datetime.fromtimestamp(record[key]) for key in ("starttime", "endtime"))
    except (OSError, ValueError, KeyError, TypeError):
        return NOT_RECORDED
    return {
        "rule": record.get("rule"),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
    }


def one(values: Sequence[Any]) -> Any:
    """The value of all calls, or each of them in turn where they differ."""
    each = [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    return NOT_RECORDED if not each else each[0] if len(each) == 1 else each


def summed(values: Iterable[Any], of: str) -> Any:
    """The sum; where some are not recorded, of how many it is.

    Args:
        values: numbers, or `NOT_RECORDED`.
        of: what each is of, such as ``run``.
    """
    listed = list(values)
    known = [value for value in listed if isinstance(value, float)]
    if not listed or len(known) == len(listed):
        return sum(known) if listed else NOT_RECORDED
    missing = f"not recorded of {several(len(listed) - len(known), of)}"
    return f"{sum(known):.4g} of {several(len(known), of)}, {missing}" if known else missing

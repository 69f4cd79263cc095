"""Slurm's logs of jobs that are long over.

Folders stay. Slurm fails a job whose log's folder is gone when it begins, and leaves no word of why: an empty
folder may be that of a job that waits, of another Snakemake.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

DAY_S = 86400


def remove_old_logs(folder: Path, days: float, in_queue: Callable[[], Collection[str]]) -> None:
    """Delete logs that nobody has written to for some days; none where Slurm does not say which jobs go on.

    Args:
        folder: of the logs, each named after its job.
        days: since it was written to.
        in_queue: ids of the jobs that wait or run.
    """
    old = [log for log in folder.rglob("*.log") if _age(log) > days * DAY_S]
    if not old:
        return
    with suppress(OSError):
        going = in_queue()
        for log in old:
            if log.stem not in going:
                log.unlink(missing_ok=True)


def _age(log: Path) -> float:
    try:
        return time.time() - log.stat().st_mtime
    except OSError:
        return 0

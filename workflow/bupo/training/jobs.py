"""``.jobs.json``: which calls of the training worked on a run: when, where, with what code, over what data.

A run that is preempted is trained by several calls, one after the other. Each writes its entry when it begins
and when it ends, and ``done.json`` has all of them: GPU-hours can be added up, and a model has its commit. A
call that was killed could not write its end; the next one enters the time of the last line that it left.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bupo.commit import commit
from bupo.files import read_json, sha256_file, write_json
from bupo.training.integrity import versions
from bupo.training.stopping import Stopped

FILE = ".jobs.json"
SLURM = {"slurm_job_id": "SLURM_JOB_ID", "partition": "SLURM_JOB_PARTITION"}
TRACES = ("metrics.jsonl", "log.txt")
"""Files that a call writes into while it works."""


class Jobs:
    """The calls of one run's configuration, the running one last.

    Args:
        out: the run's folder.
        entries: of all calls.
    """

    def __init__(self, out: Path, entries: list[dict[str, Any]]) -> None:
        self.out, self.entries = out, entries

    @classmethod
    def begin(cls, out: Path, config: Mapping[str, Any], identity: str) -> "Jobs":
        """Write down that a call begins; entries of another configuration are dropped."""
        path = out / FILE
        known = read_json(path) if path.exists() else []
        entries = [entry for entry in known if entry["config_sha256"] == identity]
        if entries and entries[-1]["ended"] is None:
            entries[-1] |= {"ended": _last_trace(out) or entries[-1]["started"], "outcome": "killed"}
        fresh = {
            "config_sha256": identity,
            "started": _now(),
            "ended": None,
            "outcome": None,
            **{key: os.environ.get(name) for key, name in SLURM.items()},
            "host": socket.gethostname(),
            "gpus": gpus(config),
            "commit": commit(),
            "versions": versions(),
            "train_files": {file: sha256_file(file) for file in _train_files(config) if Path(file).is_file()},
        }
        jobs = cls(out, [*entries, fresh])
        jobs._write()
        return jobs

    def end(self, outcome: str) -> list[dict[str, Any]]:
        """Write down how the running call ended.

        Returns:
            All entries.
        """
        self.entries[-1] |= {"ended": _now(), "outcome": outcome}
        self._write()
        return self.entries

    def _write(self) -> None:
        write_json(self.out / FILE, self.entries)


@contextmanager
def recorded(out: Path, config: Mapping[str, Any], identity: str) -> Iterator[Jobs]:
    """Record a call of the training; where it is left by an exception, its outcome is that.

    Args:
        out: the run's folder.
        config: the run's configuration.
        identity: its hash.
    """
    jobs = Jobs.begin(out, config, identity)
    try:
        yield jobs
    except BaseException as error:
        jobs.end("stopped" if isinstance(error, Stopped) else "failed")
        raise


def gpus(config: Mapping[str, Any]) -> int:
    """The number of GPUs that a configuration trains on, on all nodes."""
    trainer = config["trainer"]
    return 0 if trainer["device"] == "cpu" else int(trainer["nnodes"]) * int(trainer["n_gpus_per_node"])


def _train_files(config: Mapping[str, Any]) -> list[str]:
    files = config["data"]["train_files"]
    return [files] if isinstance(files, str) else list(files)


def _last_trace(out: Path) -> str | None:
    times = [(out / name).stat().st_mtime for name in TRACES if (out / name).exists()]
    return _shown(datetime.fromtimestamp(max(times), UTC)) if times else None


def _now() -> str:
    return _shown(datetime.now(UTC))


def _shown(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")

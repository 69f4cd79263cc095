"""Which job of Slurm's makes which output: written down at its submission, for a Snakemake that comes after.

Snakemake's own marks (``.snakemake/incomplete``) lose a job's id as soon as the job begins, and its
Slurm executor reads none of them.
"""

import json
import math
import subprocess
import time
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from pathlib import Path

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from bupo.files import sha256_text, write_json

FOLDER = Path(".snakemake/slurm_jobs")
ATTEMPTS = 5
"""How often Slurm's queue is asked before it counts as away."""


@dataclass(frozen=True)
class Record:
    """A job that was submitted.

    Attributes:
        job_id: Slurm's; ``12_3`` for a task of an array.
        log: of Slurm, for this job.
        command: hash of the shell command that it runs.
        submitted: when, in seconds since the epoch.
    """

    job_id: str
    log: str
    command: str
    submitted: float

    def is_of(self, job: JobExecutorInterface) -> bool:
        """Whether what was submitted does what this one is to do: the same command, no newer inputs."""
        if self.command != sha256_text(str(job.shellcmd)):
            return False
        inputs = [path for path in job.input if not path.flags.get("ancient")]
        return all(_written(path) <= self.submitted for path in inputs)

    def made(self, job: JobExecutorInterface, unfinished: Callable[[], Container[str]]) -> bool:
        """Whether all outputs were made since the job was submitted.

        Only Snakemake's step on the node deletes outputs, as it begins; at its end it takes its marks off.

        Args:
            job: that was submitted.
            unfinished: the outputs that are marked; Snakemake would answer from what it remembers.
        """
        outputs = list(map(str, job.output))
        if not all(self.submitted <= _written(output) < math.inf for output in outputs):
            return False
        marked = unfinished()
        return all(output not in marked for output in outputs)


class Records:
    """The jobs of one working directory, a file for each below `FOLDER`, named after the job's first output.

    Args:
        root: the working directory.
    """

    def __init__(self, root: Path = Path()) -> None:
        self.folder = root / FOLDER

    def write(self, output: str, job_id: str, log: str, command: str) -> None:
        """Write down that a job was submitted."""
        write_json(self._path(output), asdict(Record(job_id, log, sha256_text(command), time.time())))

    def remove(self, output: str) -> None:
        """The job is over."""
        self._path(output).unlink(missing_ok=True)

    def read(self, output: str) -> Record | None:
        """The job that was submitted for an output and is not known to be over."""
        try:
            return Record(**json.loads(self._path(output).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @property
    def any(self) -> bool:
        """Whether there may be jobs of an earlier call."""
        return self.folder.is_dir() and any(self.folder.iterdir())

    def _path(self, output: str) -> Path:
        return self.folder / f"{sha256_text(output)[:32]}.json"


def _written(path: str) -> float:
    """When a file was written; after all others where there is none."""
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return math.inf


def in_queue(name: str, pause: Callable[[float], None] = time.sleep) -> set[str]:
    """Ids of the jobs of a name that wait or run; each task of an array by its own.

    Raises:
        OSError: Slurm does not say it.
    """
    command = ["squeue", "--name", name, "--noheader", "--array", "--format=%i"]
    why = ""
    for attempt in range(ATTEMPTS):
        pause(2.0 * attempt)
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode == 0:
            return set(result.stdout.split())
        why = result.stderr.strip()
    raise OSError(f"squeue does not say which jobs of an earlier call are left: {why}")

"""Which job of Slurm's makes which output: written down at its submission, for a Snakemake that comes after.

Snakemake's own marks (``.snakemake/incomplete``) lose a job's id as soon as the job begins, and its
Slurm executor reads none of them.
"""

import json
import math
import time
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from bupo.console.ask import Failed, ask
from bupo.files import sha256_text, write_json

FOLDER = Path(".snakemake/slurm_jobs")
TIMEOUT_S = 60
ATTEMPTS = 5
"""How often Slurm's queue is asked before it counts as away."""


@dataclass(frozen=True)
class Record:
    """A job that was submitted.

    Attributes:
        job_id: Slurm's; ``12_3`` for a task of an array; empty as long as Slurm has not told it.
        command: hash of the shell command that it runs.
        submitted: when, in seconds since the epoch.
        word: that is at the end of its comment.
        task: its number in an array; 0 without one.
    """

    job_id: str
    command: str
    submitted: float
    word: str = ""
    task: int = 0

    def id_in(self, queue: "Queue") -> str:
        """Its id where it is in the queue, or empty."""
        number = queue.numbers.get(self.word, "")
        job_id = self.job_id or (f"{number}_{self.task}" if self.task else number)
        return job_id if job_id in queue.ids else ""

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

    def begin(self, output: str, command: str, word: str = "", task: int = 0) -> None:
        """Write down that a job is being submitted."""
        self._write(output, Record("", sha256_text(command), time.time(), word, task))

    def submitted(self, output: str, job_id: str) -> None:
        """Write down the id of the job that was submitted."""
        if record := self.read(output):
            self._write(output, replace(record, job_id=job_id))

    def _write(self, output: str, record: Record) -> None:
        write_json(self._path(output), asdict(record))

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


@dataclass
class Queue:
    """The jobs of a name that wait or run.

    Attributes:
        ids: each task of an array by its own.
        numbers: of jobs, and of arrays as one, by the last word of their comment.
    """

    ids: set[str] = field(default_factory=set)
    numbers: dict[str, str] = field(default_factory=dict)


def in_queue(name: str, pause: Callable[[float], None] = time.sleep) -> Queue:
    """The jobs of a name that wait or run.

    Raises:
        OSError: Slurm does not say it.
    """
    why = ""
    for attempt in range(ATTEMPTS):
        pause(2.0 * attempt)
        rows = ask(["squeue", "--name", name, "--noheader", "--array", "--format=%i|%F|%k"], TIMEOUT_S)
        if isinstance(rows, str):
            jobs = [(row + "||").split("|")[:3] for row in rows.splitlines()]
            numbers = {comment.rpartition(" ")[2]: number for _, number, comment in jobs}
            return Queue({job_id for job_id, _, _ in jobs}, numbers)
        why = rows.why
    raise OSError(f"Slurm does not say which jobs of an earlier call are left: {why}")


def number_of(name: str, word: str) -> str:
    """The number of the job, or array, of a name whose comment ends with a word; empty where there is none.

    Raises:
        OSError: Slurm does not say it.
    """
    rows = ask(["squeue", "--name", name, "--noheader", "--states=all", "--format=%F %k"], TIMEOUT_S)
    if isinstance(rows, Failed):
        raise OSError(rows.why)
    return next((row.split()[0] for row in rows.splitlines() if row.endswith(f" {word}")), "")

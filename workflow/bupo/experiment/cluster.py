"""``configs/cluster.yaml``: where jobs go and what a job of each kind asks for, by the size of its model."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from bupo.errors import UserError
from bupo.validation import Strict, load_yaml, validated

FILE = "cluster.yaml"
USUAL = ("cpu", "gpu")
"""Where jobs without and with GPUs go that name no partition."""
_OURS = "it is said for every job already and should be left out"
FORBIDDEN = {
    r"--account[=\s]|-A\s": "account, of the file or of a job, would be right",
    r"--partition[=\s]|-p\s": "name would be right",
    r"--qos[=\s]": "qos would be right",
    r"--constraint[=\s]|-C\s": "constraint would be right",
    r"--mem[=\s]": "mem_gb of a job would be right",
    r"--mem-per-cpu[=\s]": "mem_gb of a job would be right",
    r"--cpus-per-task[=\s]|-c\s": "cpus of a job would be right",
    r"--cpus-per-gpu[=\s]": "cpus of a job would be right",
    r"--time[=\s]|-t\s": "hours of a job would be right",
    r"--nodes[=\s]|-N\s": "nodes of a job would be right",
    r"--ntasks[=\s]|-n\s": "nodes of a job would be right",
    r"--ntasks-per-gpu[=\s]": "nodes of a job would be right",
    r"--gres[=\s]": "gpus of a job, and gpu for their kind, would be right",
    r"--gpus[=\s]": "gpus of a job, and gpu for their kind, would be right",
    r"--job-name[=\s]|-J\s?": _OURS,
    r"--output[=\s]|-o\s": _OURS,
    r"--error[=\s]|-e\s": _OURS,
    r"--parsable": _OURS,
    r"--export[=\s]": _OURS,
    r"--comment[=\s]": _OURS,
    r"--workdir[=\s]|-D\s": _OURS,
    r"--clusters[=\s]": "jobs go to the cluster that Snakemake runs on",
    # these the executor lets through, and sbatch would take the last of two
    r"(?<!\S)-A": "account, of the file or of a job, would be right",
    r"(?<!\S)-p": "name would be right",
    r"(?<!\S)-q": "qos would be right",
    r"(?<!\S)-C": "constraint would be right",
    r"(?<!\S)-c": "cpus of a job would be right",
    r"(?<!\S)-t": "hours of a job would be right",
    r"(?<!\S)-[Nn]": "nodes of a job would be right",
    r"(?<!\S)(-G|--gpus-per)": "gpus of a job, and gpu for their kind, would be right",
}
"""Words of sbatch that Snakemake's executor refuses among `Partition.options`, and what would be right."""


class Partition(Strict):
    """Where jobs go; see the comments in the file."""

    name: str | None = Field(default=None, min_length=1)
    gpu: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.]+$")
    max_mem_gb: PositiveFloat | None = None
    max_hours: PositiveFloat | None = None
    qos: str | None = Field(default=None, min_length=1)
    constraint: str | None = Field(default=None, min_length=1)
    options: str = ""

    @field_validator("options")
    @classmethod
    def _has_no_key_of_its_own(cls, value: str) -> str:
        shlex.split(value)  # a quotation mark that is not closed is a ValueError
        for pattern, right in FORBIDDEN.items():
            if found := re.search(pattern, value):
                raise ValueError(f"{found[0].rstrip('= ')} cannot be among the options; {right}")
        return value


class Job(Strict):
    """A job of one kind: processors, memory and GPUs of each of its nodes, and hours.

    Attributes:
        partition: a key of the file's ``partitions``; None for ``cpu`` or ``gpu``.
        account, qos: before those of the file and of the partition.
    """

    cpus: PositiveInt
    mem_gb: PositiveFloat
    hours: PositiveFloat
    gpus: NonNegativeInt = 0
    nodes: PositiveInt = 1
    partition: str | None = None
    account: str | None = Field(default=None, min_length=1)
    qos: str | None = Field(default=None, min_length=1)


class Size(Strict):
    """The jobs of models of one size."""

    model: Job
    entropy: Job
    train: Job
    sample: Job


class Cluster(Strict):
    """The whole file."""

    partitions: dict[str, Partition] = {}
    account: str | None = Field(default=None, min_length=1)
    small: Job
    sizes: dict[str, Size] = Field(min_length=1)

    def key(self, job: Job) -> str:
        """The key in ``partitions`` of where a job goes."""
        return job.partition or ("gpu" if job.gpus else "cpu")

    def partition(self, job: Job) -> Partition:
        """Where a job goes."""
        return self.partitions.get(self.key(job), Partition())

    def jobs(self) -> Iterator[tuple[str, Job]]:
        """Every job of the file, with its key."""
        yield "small", self.small
        for name, size in self.sizes.items():
            yield from ((f"sizes.{name}.{kind}", getattr(size, kind)) for kind in Size.model_fields)


def load_cluster(configs: Path) -> Cluster:
    """The cluster that ``configs/cluster.yaml`` describes.

    Raises:
        UserError: it has a mistake.
    """
    path = configs / FILE
    cluster = validated(Cluster, load_yaml(path), path)
    known = dict.fromkeys([*USUAL, *cluster.partitions])
    for key, job in cluster.jobs():
        if job.partition is not None and job.partition not in known:
            raise UserError(
                f"{path}: {key}.partition = {job.partition!r} is not in partitions; "
                f"it has: {', '.join(known)}."
            )
    named = {job.partition for _, job in cluster.jobs()}
    for key, partition in cluster.partitions.items():
        if key not in USUAL and partition.name is None:
            raise UserError(f"{path}: partitions.{key}.name is missing; it should be one that sinfo shows.")
        if key not in USUAL and key not in named:
            raise UserError(
                f"{path}: partitions.{key} is named by no job; it should be cpu, gpu or a job's partition."
            )
    return cluster

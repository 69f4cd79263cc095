"""Stand-ins for what Snakemake gives the executor for Slurm."""

import logging
from types import SimpleNamespace

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

WORD = "0123456789ab"


class File(str):
    flags = {}


class Old(File):
    flags = {"ancient": True}


class Job(SimpleNamespace):
    """As much of a job of Snakemake's as the executor looks at."""

    __hash__ = object.__hash__

    def is_group(self):
        return False


def job(number, rule="sample", inputs=(), command="make", **resources):
    return Job(
        jobid=number,
        name=rule,
        wildcards=["x"],
        rule=SimpleNamespace(name=rule),
        output=[f"{rule}/{number}"],
        input=list(inputs),
        shellcmd=command,
        resources=resources,
    )


def followed(executor, job, job_id):
    """Let the executor have submitted a job, which Slurm gave this id."""
    executor._write_down([job], WORD)
    executor.report_job_submission(SubmittedJobInfo(job, job_id, {}))
    return executor.submitted[job]


class Log(logging.Logger):
    """A logger that keeps what is told."""

    def __init__(self):
        super().__init__("slurm", logging.INFO)
        self.said = []

    def callHandlers(self, record):
        self.said.append(record.getMessage())

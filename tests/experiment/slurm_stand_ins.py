"""Stand-ins for what Snakemake gives the executor for Slurm."""

from pathlib import Path
from types import SimpleNamespace

LOG = Path("logs/rule_sample/x/7.log")


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
        rule=SimpleNamespace(name=rule),
        output=[f"{rule}/{number}"],
        input=list(inputs),
        shellcmd=command,
        resources=resources,
    )


class Log:
    """A logger that keeps what is told."""

    def __init__(self):
        self.said = []

    def info(self, text):
        self.said.append(text)

    warning = info

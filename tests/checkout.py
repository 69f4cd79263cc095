"""A copy of the project's workflow in an empty folder, and Snakemake in it: what integration/ and slurm/ share."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PARTS = ("Snakefile", "rules", "configs", "envs", "profiles", "slurm")


@dataclass
class Checkout:
    """A copy of the workflow, without the results of the real one.

    Attributes:
        options: given to Snakemake always.
        environment: variables that it gets beside those of the tests.
    """

    folder: Path
    options: Sequence[str] = ("--cores", "2")
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [str(Path(sys.executable).parent / "snakemake"), *self.options, *arguments]

    def run(self, *arguments: str, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end, in a process group that is gone afterwards."""
        process = self.start(*arguments)
        try:
            output, _ = process.communicate(timeout=timeout)
        finally:
            kill_group(process)
        return subprocess.CompletedProcess(process.args, process.returncode, output, "")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill_when(self, ready: Callable[[], bool], *arguments: str, timeout: float = 900) -> None:
        """Start Snakemake and kill it and all its jobs, without warning, as soon as ``ready()``."""
        log = self.folder / "killed.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            deadline = time.monotonic() + timeout
            try:
                while not ready():
                    assert process.poll() is None, log.read_text()[-4000:]
                    assert time.monotonic() < deadline, "the moment to kill did not come"
                    time.sleep(0.05)
            finally:
                kill_group(process)


def kill_group(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def copy_of(root: Path, folder: Path) -> Checkout:
    for part in PARTS:
        source = root / part
        if source.is_dir():
            shutil.copytree(source, folder / part)
        else:
            shutil.copy(source, folder / part)
    return Checkout(folder)

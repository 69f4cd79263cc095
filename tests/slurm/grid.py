"""A small experiment that is submitted to Slurm, and what the tests ask about its jobs."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checkout import Checkout, copy_of

from bupo.files import read_yaml, to_yaml

HERE = Path(__file__).parent
NAME = "small"
RUN = "runs/tiny_qwen3/grpo/seed1"
OPTIONS = (
    *("--profile", "slurm", "--config", f"experiment={NAME}"),
    # the profile's are for jobs of hours
    *("--slurm-resume-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"),
)
PATIENCE_S = 300


@dataclass
class Grid(Checkout):
    """A checkout whose experiment Slurm runs, with what was submitted."""

    @property
    def results(self) -> Path:
        return self.folder / "results" / NAME

    @property
    def sizes(self) -> dict[str, Any]:
        """What jobs ask for, by the size of the model."""
        return read_yaml(self.folder / "configs/cluster.yaml")["sizes"]

    def submitted(self, rule: str = "") -> list[str]:
        """The calls of sbatch for a rule, one line each."""
        log = self.folder / "sbatch.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if f"rule_{rule}" in line]

    def queued(self, state: str = "") -> list[str]:
        """Ids of this checkout's jobs that wait or run, or of those in a state."""
        command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T %Z"]
        rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        fields = [row.split(maxsplit=2) for row in rows]
        return [job for job, at, folder in fields if folder == str(self.folder) and at.startswith(state)]

    def steps(self) -> list[str]:
        """The lines of the training's metrics."""
        metrics = self.results / RUN / "metrics.jsonl"
        return metrics.read_text().splitlines() if metrics.exists() else []

    def forget(self, *parts: str) -> None:
        """Remove results, and the log of what was submitted."""
        for part in parts:
            path = self.results / part
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (self.folder / "sbatch.log").unlink()

    def change(self, path: str, **values: object) -> None:
        """Change keys of a file of configs/."""
        file = self.folder / "configs" / path
        file.write_text(to_yaml({**read_yaml(file), **values}))

    def copy(self, folder: Path) -> "Grid":
        """The same with its results, to go on in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, symlinks=True)
        return grid_in(folder)


def new_grid(root: Path, folder: Path) -> Grid:
    """The experiment before anything has run."""
    copy_of(root, folder)
    shutil.copy(HERE / f"{NAME}.yaml", folder / "configs/experiment")
    grid = grid_in(folder)
    model = read_yaml(folder / "configs/model/tiny_qwen3.yaml")
    warm_up = {**model["built"]["warm_up"], "steps": 60}
    grid.change("model/tiny_qwen3.yaml", built={**model["built"], "warm_up": warm_up})
    return grid


def grid_in(folder: Path) -> Grid:
    environment = {
        "PATH": f"{HERE / 'wrapper'}:{os.environ['PATH']}",
        "SBATCH_LOG": str(folder / "sbatch.log"),
    }
    return Grid(folder, OPTIONS, environment)


def wait_until(ready: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait for a moment of a run, whose process has to be there until then."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"Snakemake ended before:\n{process.communicate()[0][-4000:]}")
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(0.05)

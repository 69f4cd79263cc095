"""A small experiment that is submitted to Slurm, and what the tests ask about its jobs."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from checkout import Checkout, copy_of, kill_group

from bupo.files import read_yaml, to_yaml

HERE = Path(__file__).parent
NAME = "small"
RUN = "runs/tiny_qwen3/grpo/seed1"
AUTO_RUN = "runs/tiny_qwen3/bupo-kauto-s2/seed1"
BASE = "evaluation/tiny_qwen3/base/seed0/arithmetic_easy"
TRAINED = f"results/{NAME}/{RUN}/done.json"
AUTO_TRAINED = f"results/{NAME}/{AUTO_RUN}/done.json"
EVALUATED = f"results/{NAME}/{BASE}/summary.json"
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
    def told(self) -> str:
        """What the last call of Snakemake has told so far."""
        logs = sorted((self.folder / ".snakemake/log").glob("*.snakemake.log"))
        return logs[-1].read_text()

    def submitted(self, rule: str = "") -> list[str]:
        """The calls of sbatch for a rule, one line each."""
        log = self.folder / "sbatch.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if f"rule_{rule}" in line]

    def queued(self, state: str = "") -> list[str]:
        """Ids of this checkout's jobs that wait or run, or of those in a state."""
        return [job for job, at in self._jobs() if at.startswith(state)]

    def remembered(self) -> list[str]:
        """Ids of this checkout's jobs that Slurm's controller knows of, also of those that are over."""
        return [job for job, _ in self._jobs("--states=all")]

    def _jobs(self, *which: str) -> list[tuple[str, str]]:
        command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T %Z", *which]
        rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        fields = [row.split(maxsplit=2) for row in rows]
        return [(job, at) for job, at, folder in fields if folder == str(self.folder)]

    def steps(self) -> list[int]:
        """Those of the training, as its metrics have them."""
        lines = (self.results / RUN / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["step"] for line in lines]

    def saved(self) -> bool:
        """Whether the training has a checkpoint to go on from."""
        return any((self.results / RUN / "checkpoints").glob("global_step_*"))

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

    def shards(self, number: int) -> None:
        """Cut the sampling of each evaluation into parts, which become an array."""
        self.change("evaluation/demo.yaml", shards={"problems": number, "samples": None})

    def job(self, kind: str, **values: object) -> None:
        """Change what jobs of a kind ask for."""
        sizes = read_yaml(self.folder / "configs/cluster.yaml")["sizes"]
        self.change(
            "cluster.yaml", sizes={"tiny": {**sizes["tiny"], kind: {**sizes["tiny"][kind], **values}}}
        )

    def partition(self, kind: str, name: str) -> None:
        """Send jobs without (``cpu``) or with GPUs (``gpu``) to a partition."""
        known = read_yaml(self.folder / "configs/cluster.yaml")["partitions"]
        self.change("cluster.yaml", partitions={**known, kind: {**known[kind], "name": name}})

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
    grid.job("sample", gpus=1)
    grid.partition("gpu", "gpu")
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


@dataclass
class Call:
    """A call of Snakemake, and what it told when it is over."""

    process: "subprocess.Popen[str]"
    output: str = ""

    def wait_until(self, ready: Callable[[], object]) -> None:
        """Wait for a moment of the call."""
        wait_until(ready, self.process)


@contextmanager
def called(grid: Grid, *targets: str, fails: bool = False) -> Iterator[Call]:
    """Call Snakemake, and wait for its end, which is as expected."""
    call = Call(grid.start(*targets))
    try:
        yield call
        call.output, _ = call.process.communicate(timeout=600)
    finally:
        kill_group(call.process)
    assert (call.process.returncode != 0) == fails, call.output[-6000:]

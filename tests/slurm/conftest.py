"""A Slurm of our own for the tests, and a small experiment that is submitted to it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import foreign, missing
from grid import Grid, new_grid

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A running Slurm; it is stopped however this process ends."""
    if os.getuid():
        pytest.skip("only root starts a Slurm of its own")
    if file := foreign():
        pytest.skip(f"{file} belongs to another cluster, which the tests leave alone")
    if missing() and os.environ.get("BUPO_INSTALL_SLURM") == "1" and shutil.which("apt-get"):
        install()
    if names := missing():
        pytest.skip(
            f"{', '.join(names)} not found (Debian's slurm-wlm and munge; BUPO_INSTALL_SLURM=1 installs them)"
        )
    folder = tmp_path_factory.mktemp("slurm") / "cluster"
    holder = subprocess.Popen(
        [sys.executable, str(HERE / "cluster.py"), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdin and holder.stdout
    try:
        assert holder.stdout.readline() == "ready\n", "Slurm did not start"
        yield
    finally:
        holder.stdin.close()
        assert holder.wait(120) == 0


def install() -> None:
    """Install what is missing; where that fails, it is missing still."""
    print("BUPO_INSTALL_SLURM=1: installing Debian's slurm-wlm and munge", file=sys.__stderr__, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"]):
        subprocess.run(["apt-get", "--quiet", *arguments], env=environment, stdout=sys.__stderr__)


@pytest.fixture(scope="session")
def finished(root: Path, cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """The small experiment, made by jobs of Slurm from nothing to the report; some of them get a GPU."""
    grid = new_grid(root, tmp_path_factory.mktemp("finished"))
    done = grid.run("--set-resources", "evaluate:gres=gpu:1", "evaluate:slurm_partition=gpu")
    assert done.returncode == 0, done.stdout[-6000:]
    return grid


@pytest.fixture
def grid(finished: Grid, tmp_path: Path) -> Iterator[Grid]:
    """A copy of the finished experiment, to make a part of it again; jobs that a failed test leaves are cancelled."""
    copy = finished.copy(tmp_path)
    yield copy
    if jobs := copy.queued():
        subprocess.run(["scancel", *jobs])

"""A Slurm of our own for the tests, and a small experiment that is submitted to it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from grid import Grid, new_grid
from holder import Slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Starts the Slurm that a test asks for; it is stopped however this process ends."""
    slurm = Slurm(lambda: tmp_path_factory.mktemp("slurm") / "cluster")
    yield slurm
    slurm.stop()


@pytest.fixture
def cluster(slurm: Slurm) -> Slurm:
    """A Slurm without accounting, as many are: the queue tells how jobs ended."""
    slurm.use()
    return slurm


@pytest.fixture
def accounting(slurm: Slurm) -> Slurm:
    """A Slurm with accounts, which forgets jobs soon: its database tells how they ended."""
    slurm.use(accounting=True)
    return slurm


@pytest.fixture(scope="session")
def finished(root: Path, slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """The small experiment, made by jobs of Slurm from nothing to the report; those that sample get a GPU."""
    slurm.use()
    grid = new_grid(root, tmp_path_factory.mktemp("finished"))
    done = grid.run()
    assert done.returncode == 0, done.stdout[-6000:]
    return grid


@pytest.fixture
def grid(finished: Grid, cluster: Slurm, tmp_path: Path) -> Iterator[Grid]:
    """A copy of the finished experiment, to make a part of it again; jobs that a failed test leaves are cancelled."""
    yield from copied(finished, tmp_path)


@pytest.fixture
def accounted(finished: Grid, accounting: Slurm, tmp_path: Path) -> Iterator[Grid]:
    """The same where there is accounting."""
    yield from copied(finished, tmp_path)


def copied(finished: Grid, folder: Path) -> Iterator[Grid]:
    copy = finished.copy(folder)
    yield copy
    if jobs := copy.queued():
        subprocess.run(["scancel", *jobs])

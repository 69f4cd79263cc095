"""Killed while a checkpoint is saved, at any byte and any file operation: the last whole one is there."""

import os
import random
import signal
import sys
import traceback
from pathlib import Path

import pytest
from saved_checkpoint import contents, stage

from bupo.training.checkpoints import Checkpoints
from bupo.training.integrity import verify
from bupo.training.run import _start
from bupo.training.snapshots import Snapshots

OPERATIONS = ("open", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "shutil.")
ENDLESS = 10**12


class Fuse:
    """Kills this process after so many bytes that it wrote, or so many file operations."""

    def __init__(self, budget: int, unit: str) -> None:
        self.left, self.unit = budget, unit

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, or the part of it that the fuse lets through."""
        with path.open("wb", buffering=0) as file:
            file.write(content[: self.left] if self.unit == "bytes" else content)
            self.spend("bytes", len(content))

    def write_text(self, path: Path, text: str, encoding: str) -> None:
        """In the place of `Path.write_text`."""
        self.write(path, text.encode(encoding))

    def hook(self, event: str, arguments: tuple) -> None:
        """Count what Python does with files."""
        if event.startswith(OPERATIONS):
            self.spend("operations", 1)

    def spend(self, unit: str, amount: int) -> None:
        """Count; at the end of the budget nothing follows."""
        self.left -= amount if unit == self.unit else 0
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def save_here(root: Path, step: int, fuse: Fuse) -> None:
    """The end of a step: checkpoint, metrics, commit."""
    Path.write_text = lambda path, text, encoding: fuse.write_text(path, text, encoding)
    sys.addaudithook(fuse.hook)
    checkpoints = Checkpoints(root / "checkpoints", "identity")
    stage(checkpoints, step, fuse.write)
    with (root / "metrics.jsonl").open("a") as file:
        file.write(f'{{"step": {step}}}\n')
    checkpoints.commit(step)


def save(root: Path, step: int, unit: str, budget: int = ENDLESS) -> int | None:
    """Save as a training does at the end of a step, in a process of its own; None if it was killed.

    Returns:
        How much it took of ``unit``.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fuse = Fuse(budget, unit)
            save_here(root, step, fuse)
            os.write(write, str(ENDLESS - fuse.left).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        spent = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (0 if spent else -signal.SIGKILL)
    return int(spent) if spent else None


def resume(root: Path) -> int:
    """What the next call of the training goes on from."""
    checkpoints = Checkpoints(root / "checkpoints", "identity")
    first = _start(checkpoints, root / "metrics.jsonl", Snapshots(root, None, 10**6))
    if first:
        verify(checkpoints.folder(first))
        for name, content in contents(first).items():
            assert (checkpoints.folder(first) / name).read_bytes() == content
        assert (checkpoints.root / "latest_checkpointed_iteration.txt").read_text() == str(first)
    assert (root / "metrics.jsonl").read_text().count("\n") == first
    assert not checkpoints.staging.exists()
    assert not (checkpoints.root / "set_aside").exists()  # nothing that a kill leaves looks damaged
    return first


def three_saves(root: Path, unit: str) -> int:
    """A run of three steps; how much the last one took, which removed the first."""
    (root / "metrics.jsonl").touch()
    for step in (1, 2, 3):
        cost = save(root, step, unit)
        assert resume(root) == step
    return cost


@pytest.mark.parametrize("unit", ["bytes", "operations"])
def test_twice_25_kills_as_many_resumes(tmp_path, unit):
    draw = random.Random(unit)
    cost = three_saves(tmp_path, unit)
    for _ in range(25):
        last = resume(tmp_path)
        assert save(tmp_path, last + 1, unit, draw.randint(1, cost - 2)) is None
        assert resume(tmp_path) in ({last} if unit == "bytes" else {last, last + 1})
    assert resume(tmp_path) >= 3


def test_killed_at_every_other_operation_of_a_save(tmp_path):
    """From some operation on, and no sooner, the new checkpoint is the one."""
    cost = three_saves(tmp_path, "operations")
    gains = []
    for budget in range(cost, 0, -2):
        last = resume(tmp_path)
        assert save(tmp_path, last + 1, "operations", budget) is None
        gains.append(resume(tmp_path) - last)
    assert sorted(gains, reverse=True) == gains
    assert set(gains) == {0, 1}


def test_killed_between_the_last_bytes(tmp_path):
    """The pointer's only byte is the last one, and the checkpoint is whole before it."""
    (tmp_path / "metrics.jsonl").touch()
    cost = save(tmp_path, 1, "bytes")
    assert save(tmp_path, 2, "bytes", cost - 2) is None
    assert resume(tmp_path) == 1
    assert save(tmp_path, 2, "bytes", cost) is None
    assert resume(tmp_path) == 2

"""Checkpoints that are whole or absent.

verl writes into ``checkpoints/staging/``. Once the step's metrics are on the disk too, the folder is synced,
renamed to ``global_step_<n>`` and verl's pointer file replaced, in this order: a run killed anywhere finds a
whole checkpoint whose metrics lines are all there.
"""

import shutil
from pathlib import Path

from bupo.files import sync, write_text

POINTER = "latest_checkpointed_iteration.txt"
STAGING = "staging"
IDENTITY = "config.sha256"


class Checkpoints:
    """The checkpoint folder of one run.

    Args:
        root: the folder, verl's ``trainer.default_local_dir``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / STAGING

    def folder(self, step: int) -> Path:
        """Where the whole checkpoint of ``step`` lies, by verl's naming."""
        return self.root / f"global_step_{step}"

    def prepare(self, identity: str) -> int:
        """Make the folder ready for verl to resume from.

        Unfinished saves are removed and the pointer is set to the last whole checkpoint; checkpoints of
        another configuration are removed.

        Args:
            identity: hash of the run's configuration.

        Returns:
            The last checkpoint's step, 0 where there is none.
        """
        owner = self.root / IDENTITY
        if not owner.exists() or owner.read_text(encoding="utf-8") != identity:
            self.remove()
            write_text(owner, identity)
        shutil.rmtree(self.staging, ignore_errors=True)
        steps = self.steps()
        last = steps[-1] if steps else 0
        pointer = self.root / POINTER
        if last:
            write_text(pointer, str(last))
        else:
            pointer.unlink(missing_ok=True)
        return last

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints, ascending."""
        if not self.root.is_dir():
            return []
        return sorted(int(path.name.removeprefix("global_step_")) for path in self.root.glob("global_step_*"))

    def commit(self, step: int) -> None:
        """Make the staged checkpoint of ``step``, if any, the one to resume from; older ones are removed."""
        staged = self.staging / f"global_step_{step}"
        if not staged.is_dir():
            return
        for path in sorted(staged.rglob("*"), reverse=True):
            sync(path)
        sync(staged)
        staged.replace(self.folder(step))
        sync(self.root)
        write_text(self.root / POINTER, str(step))
        for older in self.steps():
            if older < step:
                shutil.rmtree(self.folder(older))

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)

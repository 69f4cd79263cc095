"""Checkpoints that are whole or absent.

verl writes into ``checkpoints/staging/``. Once the step's metrics are on the disk too, the folder gets a
manifest, is synced, renamed to ``global_step_<n>``, and verl's pointer file is replaced, in this order: a run
killed anywhere finds a whole checkpoint whose metrics lines are all there.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from pydantic import Field

from bupo.files import publish_folder, write_text
from bupo.training.integrity import Damaged, Manifest, Score, read_manifest, seal, verify, versions
from bupo.validation import Strict

POINTER = "latest_checkpointed_iteration.txt"
STAGING = "staging"
REMOVED = "removed"
SET_ASIDE = "set_aside"
NAME = re.compile(r"global_step_(\d+)")


class CheckpointSettings(Strict):
    """``bupo.checkpoints``: which are kept.

    Attributes:
        keep_last: this many of the last ones; with 1 there is none to fall back to.
        keep_best: 1 keeps the best one too, also after the run is done.
    """

    keep_last: int = Field(default=2, ge=1)
    keep_best: int = Field(default=0, ge=0, le=1)


class Checkpoints:
    """The checkpoint folder of one run.

    Args:
        root: the folder, verl's ``trainer.default_local_dir``.
        identity: hash of the run's configuration.
        settings: which checkpoints are kept.

    Attributes:
        last: step of the checkpoint that a run would go on from now, 0 for none; set by `prepare`.
    """

    def __init__(self, root: Path, identity: str, settings: CheckpointSettings | None = None) -> None:
        self.root, self.identity = root, identity
        self.settings = settings or CheckpointSettings()
        self.staging = root / STAGING
        self.last = 0

    def folder(self, step: int) -> Path:
        """Where the whole checkpoint of ``step`` lies, by verl's naming."""
        return self.root / f"global_step_{step}"

    def steps(self) -> list[int]:
        """Steps of the checkpoints, ascending."""
        names = (NAME.fullmatch(path.name) for path in self.root.glob("*"))
        return sorted(int(name[1]) for name in names if name)

    def prepare(self) -> int:
        """Make the folder ready for verl to resume from.

        Unfinished saves and the checkpoints of another configuration are removed. Every file of the newest
        checkpoint is compared with its manifest; where it does not fit, this is told, the checkpoint is set
        aside and the one before it is looked at. The pointer is set to the first that is whole.

        Returns:
            Its step, 0 where there is none.
        """
        for left in (self.staging, self.root / REMOVED):
            shutil.rmtree(left, ignore_errors=True)
        self.last = 0
        for step in reversed(self.steps()):
            try:
                manifest = verify(self.folder(step))
            except Damaged as damage:
                self.set_aside(step, str(damage))
                continue
            if (manifest.identity, manifest.step) == (self.identity, step):
                self.last = step
                _tell_versions(self.folder(step), manifest)
                break
            self._remove(step)
        if self.last:
            write_text(self.root / POINTER, str(self.last))
        else:
            (self.root / POINTER).unlink(missing_ok=True)
        return self.last

    def set_aside(self, step: int, why: str) -> None:
        """Go on from the checkpoint before that of ``step``, and say why.

        It is moved to ``set_aside/``, where the last of these lies until the run is done, so that what is
        wrong with the disk can be looked into.
        """
        before = [older for older in self.steps() if older < step]
        then = f"the checkpoint of step {before[-1]} is looked at" if before else "the run starts anew"
        place = self.root / SET_ASIDE
        print(
            f"{self.folder(step)}: {why}; the checkpoint is moved to {place.name}/ and {then}",
            file=sys.stderr,
        )
        shutil.rmtree(place, ignore_errors=True)
        self.folder(step).rename(place)

    def commit(self, step: int, score: Score | None = None) -> None:
        """Make the staged checkpoint of ``step``, if any, the one to resume from; older ones are removed."""
        staged = self.staging / f"global_step_{step}"
        if not staged.is_dir():
            return
        seal(staged, step, self.identity, score)
        publish_folder(staged, self.folder(step))
        write_text(self.root / POINTER, str(step))
        self.last = step
        shutil.rmtree(self.staging)
        kept = {*self.steps()[-self.settings.keep_last :], self.best if self.settings.keep_best else None}
        for older in set(self.steps()) - kept:
            self._remove(older)

    def staged(self, step: int) -> bool:
        """Whether the checkpoint of ``step`` is written and waits for `commit`."""
        return (self.staging / f"global_step_{step}").is_dir()

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the best score, the later one of two; None where none has a score."""
        scores = {step: score.value for step in self.steps() if (score := self.score(step))}
        return max(scores, key=lambda step: (scores[step], step), default=None)

    def score(self, step: int) -> Score | None:
        """The score in the manifest of the checkpoint of ``step``."""
        try:
            return read_manifest(self.folder(step)).score
        except Damaged:
            return None

    def account(self) -> dict[str, Any]:
        """What is told of a run that is done: the best checkpoint, if it is kept."""
        if not self.settings.keep_best or (best := self.best) is None:
            return {}
        score = self.score(best)
        assert score is not None
        folder = str(self.folder(best).relative_to(self.root.parent))
        return {"best": {"step": best, score.metric: score.value, "checkpoint": folder}}

    def finish(self) -> None:
        """The run is done: remove everything but the best checkpoint, if it is to be kept."""
        best = self.best if self.settings.keep_best else None
        if best is None:
            self.remove()
            return
        for path in set(self.root.iterdir()) - {self.folder(best)}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _remove(self, step: int) -> None:
        # first renamed: a checkpoint that is half removed must not look like a damaged one
        (self.root / REMOVED).mkdir(exist_ok=True)
        self.folder(step).rename(self.root / REMOVED / str(step))
        shutil.rmtree(self.root / REMOVED)


def _tell_versions(folder: Path, manifest: Manifest) -> None:
    now = versions()
    changed = [
        f"{name} {then} (now {now.get(name)})"
        for name, then in manifest.versions.items()
        if now.get(name) != then
    ]
    if changed:
        print(
            f"{folder}: written with {', '.join(changed)}; going on may give other numbers than one run",
            file=sys.stderr,
        )

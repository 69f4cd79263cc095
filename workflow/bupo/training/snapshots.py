"""Snapshots of a run: the model after every n-th step, in Hugging Face's format.

Step s is ``snapshots/step-<s, six digits>/``; the last step is ``model/``. A snapshot is whole before the
checkpoint of its step is. A run that goes on from a checkpoint therefore has every snapshot up to it, and
makes the later ones again: with the same bytes, since it trains the same.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bupo.errors import UserError

FOLDER = "snapshots"
MODEL = "model"


@dataclass(frozen=True)
class Snapshots:
    """Which snapshots one run has.

    Attributes:
        out: the run's folder.
        every: n, in trainer steps; None for no snapshot but ``model/``.
        last: the run's last step.
    """

    out: Path
    every: int | None
    last: int

    @classmethod
    def of(cls, config: Mapping[str, Any], out: Path, where: str) -> "Snapshots":
        """Those that a configuration asks for (``bupo.snapshot_every``).

        Raises:
            UserError: the value is not a number of steps.
        """
        every = config["bupo"].get("snapshot_every")
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise UserError(
                f"{where}: bupo.snapshot_every = {every!r} should be a whole number of trainer steps, "
                "at least 1, or null."
            )
        return cls(out, every, config["trainer"]["total_training_steps"])

    def until(self, last: int) -> "Snapshots":
        """Those of a run that ended at step ``last``."""
        return replace(self, last=last)

    @property
    def steps(self) -> range:
        """The steps of the snapshots, without the last step, which is ``model/``."""
        return range(self.every, self.last, self.every) if self.every else range(0)

    @property
    def folders(self) -> dict[int, str]:
        """Where the model of each step is, relative to the run's folder, the last step's too."""
        return {step: f"{FOLDER}/step-{step:06d}" for step in self.steps} | {self.last: MODEL}

    def keep_until(self, step: int) -> bool:
        """Remove the snapshots after ``step``, which will be made again, and what is none.

        Returns:
            Whether every snapshot up to ``step`` is there; it could not be made afterwards.
        """
        wanted = {self.out / self.folders[number] for number in self.steps if number <= step}
        for path in set((self.out / FOLDER).glob("*")) - wanted:
            shutil.rmtree(path)
        return all(path.is_dir() for path in wanted)

"""How an evaluation is cut into jobs: parts of the benchmark's problems times ranges of sample numbers.

A sample hangs on its problem and its number alone, so that any cut draws the same samples.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings


@dataclass(frozen=True)
class Shard:
    """A part of the problems, and of each of them some samples: one job, one file.

    Attributes:
        part: which part of the problems, from 1.
        parts: how many there are.
        first: number of the first sample of each problem, from 0.
        last: number of the last one, itself included.
    """

    part: int
    parts: int
    first: int
    last: int

    @classmethod
    def parse(cls, part: str, samples: str) -> "Shard":
        """``I/N`` and ``A-B`` of the command line.

        Raises:
            UserError: they are not of this form, or I is not from 1 to N, or B is below A.
        """
        of_problems, of_samples = re.fullmatch(r"(\d+)/(\d+)", part), re.fullmatch(r"(\d+)-(\d+)", samples)
        if of_problems is None or not 1 <= int(of_problems[1]) <= int(of_problems[2]):
            raise UserError(f"--shard {part}: I/N with I from 1 to N would be right, such as 2/4.")
        if of_samples is None or int(of_samples[1]) > int(of_samples[2]):
            raise UserError(
                f"--samples {samples}: A-B would be right, the first and the last number from 0: 0-15."
            )
        return cls(*map(int, of_problems.groups()), *map(int, of_samples.groups()))

    @property
    def name(self) -> str:
        """``1-of-2-samples-0-15``, as in the names of its files."""
        return f"{self.part}-of-{self.parts}-samples-{self.first}-{self.last}"

    def file(self, folder: Path) -> Path:
        """The file that holds it when it is whole."""
        return folder / f"shard-{self.name}.parquet"

    def problems(self, count: int) -> range:
        """Places of its problems among ``count`` of them, in a row; none where there are more parts."""
        return range((self.part - 1) * count // self.parts, self.part * count // self.parts)

    @property
    def numbers(self) -> range:
        """Numbers of its samples."""
        return range(self.first, self.last + 1)


def cut(settings: EvaluationSettings) -> list[Shard]:
    """All shards of an evaluation, in the order of samples and problems: the first numbers come first."""
    parts, total = settings.shards.problems, settings.samples
    size = settings.shards.samples or total
    return [
        Shard(part, parts, first, min(first + size, total) - 1)
        for first in range(0, total, size)
        for part in range(1, parts + 1)
    ]

"""Jobs and what they cost: of one kind, of one rule, and the sums."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """Seconds of one job; None where nothing tells them.

    Attributes:
        gpus, cores: that it asks for, on all its nodes.
        measured: whether it rests on earlier runs, or else on assumptions.
        basis: which ones.
    """

    seconds: float | None
    gpus: int
    cores: int
    measured: bool
    basis: str

    @property
    def held(self) -> int:
        """GPUs, or processors of a job without."""
        return self.gpus or self.cores


@dataclass(frozen=True)
class Row:
    """Jobs of one rule.

    Attributes:
        of: the model, the model and the method, or nothing.
        works: of each kind of job how it is and how many there are.
        made: how many have their result.
        longest: seconds of the longest of them, 0 where none is known.
    """

    rule: str
    of: str
    works: tuple[tuple[Work, int], ...]
    made: int

    @property
    def jobs(self) -> int:
        """How many there are."""
        return sum(count for _, count in self.works)

    @property
    def gpus(self) -> int:
        """That one job holds."""
        return max(work.gpus for work, _ in self.works)

    @property
    def seconds(self) -> float | None:
        """Of all jobs, one after the other; None where the time of one is not known."""
        known = [work.seconds * count for work, count in self.works if work.seconds is not None]
        return sum(known) if len(known) == len(self.works) else None

    @property
    def held_seconds(self) -> float | None:
        """Seconds of each GPU, or of each processor of jobs without; None where a time is not known."""
        known = [w.seconds * w.held * count for w, count in self.works if w.seconds is not None]
        return sum(known) if len(known) == len(self.works) else None

    @property
    def longest(self) -> float:
        """Seconds of the longest job whose time is known."""
        return max((work.seconds or 0.0 for work, _ in self.works), default=0.0)

    @property
    def share_left(self) -> float:
        """Of its jobs those without a result."""
        return (self.jobs - self.made) / self.jobs


def total(rows: Iterable[Row], gpu: bool, left: bool = False) -> float:
    """GPU-seconds, or processor-seconds of jobs without a GPU, as far as they are known.

    Args:
        rows: of an experiment.
        gpu: which of them.
        left: without the jobs that have their result, each as long as the mean of its row.
    """
    return sum(
        work.seconds * work.held * count * (row.share_left if left else 1.0)
        for row in rows
        for work, count in row.works
        if work.seconds is not None and bool(work.gpus) == gpu
    )

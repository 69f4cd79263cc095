"""The cells of an experiment: all runs of one point of the grid on one model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from bupo.evaluation.comparison import correct_matrix
from bupo.evaluation.statistics import Floats
from bupo.report.records import Results, Run

MEAN = "mean"
GRPO = "grpo"


@dataclass(frozen=True)
class Cell:
    """All runs of one cell on one model."""

    model: str
    name: str
    runs: list[Run]
    _matrices: dict[str, "Matrix | None"] = field(default_factory=dict, repr=False, compare=False)

    @property
    def first(self) -> Run:
        """Any run of it, for what all seeds share."""
        return self.runs[0]

    @property
    def label(self) -> str:
        """For people: ``base``, ``grpo``, ``bupo-kauto-s4 (layer 3)``."""
        layers = {run.layer for run in self.runs}
        if self.first.layer_requested == "auto" and len(layers) == 1 and None not in layers:
            return f"{self.name} (layer {self.first.layer})"
        return self.name

    def matrix(self, benchmark: str) -> "Matrix | None":
        """What is right of the samples of all seeds; None unless every seed is evaluated."""
        if benchmark not in self._matrices:
            self._matrices[benchmark] = self._matrix(benchmark)
        return self._matrices[benchmark]

    def _matrix(self, benchmark: str) -> "Matrix | None":
        tables = []
        for number, run in enumerate(self.runs):
            if benchmark not in run.evaluated:
                return None
            table = run.evaluated[benchmark].scores[["problem_id", "sample", "correct"]]
            tables.append(table.assign(sample=[f"{number}/{sample}" for sample in table["sample"]]))
        return Matrix(*correct_matrix(pd.concat(tables, ignore_index=True)))


class Matrix(NamedTuple):
    """Problem ids, sorted, and a 0/1 array of shape (problems, samples)."""

    problems: list[str]
    correct: Floats

    @property
    def values(self) -> dict[str, float]:
        """avg@n of each problem."""
        return dict(zip(self.problems, self.correct.mean(axis=1).tolist(), strict=True))


def cells_of(results: Results) -> list[Cell]:
    """The cells in the experiment's order, the base of each model before its cells."""
    found: dict[tuple[str, str], list[Run]] = {}
    for model in results.experiment["models"]["train"]:
        for run in results.runs:
            if run.model == model:
                found.setdefault((model, run.cell), []).append(run)
    return [Cell(model, name, runs) for (model, name), runs in found.items()]


def grpo_for(cell: Cell, cells: Sequence[Cell]) -> Cell | None:
    """The GRPO cell that shares model, training set, steps, learning rate and seeds with ``cell``."""
    if cell.first.method == GRPO:
        return None

    def shared(other: Cell) -> tuple[object, ...]:
        run = other.first
        seeds = tuple(sorted(r.seed for r in other.runs))
        return other.model, run.train_set, run.steps, run.learning_rate, seeds

    return next((c for c in cells if c.first.method == GRPO and shared(c) == shared(cell)), None)

"""Answers on which the two grading rules differ, over all runs, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bupo.grading import RULES
from bupo.report.cells import Cell
from bupo.report.table import Value

REVIEWED = (
    *("benchmark", "problem_id", "gold", "answer", "samples", "runs"),
    *(f"{what}_{rule}" for rule in RULES for what in ("correct", "gold_read", "answer_read")),
)


@dataclass(frozen=True)
class Reading:
    """What one rule says of a pair, and what it made of gold and answer; "" where it made nothing of it."""

    rule: str
    correct: bool
    gold: str
    answer: str


@dataclass(frozen=True)
class Pair:
    """A gold and an answer on which the rules differ.

    Attributes:
        problem_id: the first problem that has it.
        samples: that have it, of all runs; runs: how many have it.
    """

    benchmark: str
    problem_id: str
    gold: str
    answer: str
    samples: int
    runs: int
    readings: tuple[Reading, ...]

    def row(self) -> tuple[Value, ...]:
        """For the table, in the order of `REVIEWED`."""
        told = [value for r in self.readings for value in (r.correct, r.gold, r.answer)]
        return (self.benchmark, self.problem_id, self.gold, self.answer, self.samples, self.runs, *told)


def read_review(path: Path) -> pd.DataFrame | None:
    """The disagreements of one evaluation, all text but the verdicts and the count; None without the file."""
    if not path.is_file():
        return None
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    verdicts = {f"correct_{rule}": table[f"correct_{rule}"] == "True" for rule in RULES}
    return table.assign(samples=table["samples"].astype(int), **verdicts)


def reviewed(cells: Sequence[Cell], benchmarks: Sequence[str]) -> list[Pair]:
    """The pairs of each benchmark, those of most samples first."""
    tables = [
        table.assign(benchmark=name, run=run.name)
        for cell in cells
        for run in cell.runs
        for name in benchmarks
        if name in run.evaluated and (table := run.evaluated[name].review) is not None
    ]
    if not tables:
        return []
    found = []
    together = pd.concat(tables, ignore_index=True)
    for (name, gold, answer), same in together.groupby(["benchmark", "gold", "answer"], sort=True):
        first = same.iloc[0]
        readings = tuple(
            Reading(
                rule, bool(first[f"correct_{rule}"]), first[f"gold_read_{rule}"], first[f"answer_read_{rule}"]
            )
            for rule in RULES
        )
        count, runs = int(same["samples"].sum()), int(same["run"].nunique())
        found.append(Pair(str(name), str(first["problem_id"]), str(gold), str(answer), count, runs, readings))
    return sorted(found, key=lambda pair: (benchmarks.index(pair.benchmark), -pair.samples))

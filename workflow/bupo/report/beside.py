"""The paper's numbers beside ours: the difference, and which of our intervals the paper's number lies in."""

from collections.abc import Sequence
from dataclasses import dataclass

from bupo.published.match import Published, published_for
from bupo.published.match import Score as Printed
from bupo.published.tables import MEAN as PUBLISHED_MEAN
from bupo.published.tables import reference
from bupo.report.cells import MEAN, Cell
from bupo.report.records import Estimate, Results
from bupo.report.scores import Score
from bupo.report.table import Table, Value


@dataclass(frozen=True)
class Beside:
    """One score of ours and one of the paper's.

    Attributes:
        printed: the paper's.
        row: where that is from, its footnotes, and how its run differs from ours.
    """

    cell: Cell
    score: Score
    printed: Printed
    row: Published

    @property
    def difference(self) -> float:
        """Ours less the paper's, in shares of 1."""
        return self.score.avg.value - self.printed.share

    @property
    def inside(self) -> dict[str, bool]:
        """Whether the paper's number lies in our interval over each chance that we have one for."""
        known = {"problems": self.score.avg, "decoding": self.score.decoding, "seeds": self.score.over_seeds}
        return {name: _within(self.printed.share, e) for name, e in known.items() if e is not None}

    @property
    def notes(self) -> list[str]:
        """All that has to be said of the row: how our run is another one, then the paper's footnotes."""
        return [*(f"Our run: {text}." for text in self.row.differences), *self.row.notes]


def set_beside(results: Results, cells: Sequence[Cell], scores: Sequence[Score]) -> list[Beside]:
    """Every score for which the paper has a number of the same model, method, layer and iterative_steps.

    The paper's mean is over its four benchmarks; it is set beside a mean of ours over exactly these.
    """
    by_name = {(s.model, s.cell, s.benchmark): s for s in scores}
    same_mean = set(results.benchmarks) == set(reference().evaluation.samples)
    found = []
    for cell in cells:
        run = cell.first
        asked = {
            **{"model": run.model, "method": run.method, "layer": run.layer, "train_set": run.train_set},
            **{"iterative_steps": run.iterative_steps, "learning_rate": run.learning_rate},
        }
        for row in published_for(results.experiment, asked):
            for name, printed in row.scores.items():
                ours = MEAN if name == PUBLISHED_MEAN else name
                score = by_name.get((cell.model, cell.name, ours))
                if score is not None and (ours != MEAN or same_mean):
                    found.append(Beside(cell, score, printed, row))
    return found


def footnotes(rows: Sequence[Beside]) -> dict[str, int]:
    """The notes of all rows, each once, with their numbers from 1."""
    every = dict.fromkeys(note for row in rows for note in row.notes)
    return {note: number for number, note in enumerate(every, start=1)}


def published_table(rows: Sequence[Beside]) -> Table:
    """Our scores beside the paper's."""
    columns = (
        *("model", "cell", "benchmark", "avg_at_n", "low", "high", "decoding_low", "decoding_high"),
        *("seeds_low", "seeds_high", "n_problems", "n_samples", "n_seeds"),
        *("published", "published_spread", "published_seeds", "published_samples", "difference"),
        *("inside_problems", "inside_decoding", "inside_seeds", "same_experiment", "notes", "source"),
    )
    found: list[tuple[Value, ...]] = []
    for row in rows:
        s, printed, inside = row.score, row.printed, row.inside
        seeds = (s.over_seeds.low, s.over_seeds.high) if s.over_seeds else (None, None)
        found.append(
            (
                *(s.model, s.cell, s.benchmark, s.avg.value, s.avg.low, s.avg.high),
                *(s.decoding.low, s.decoding.high, *seeds, s.n_problems, s.n_samples, len(s.by_seed)),
                *(printed.share, printed.spread, row.row.seeds, printed.samples, row.difference),
                *(inside.get(name) for name in ("problems", "decoding", "seeds")),
                *(row.row.comparable, " ".join(row.notes), row.row.source),
            )
        )
    return Table("published", columns, found)


def _within(value: float, estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high

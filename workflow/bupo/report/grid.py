"""The grid of layer k and iterative_steps: what a map of both axes shows, where an experiment has both."""

from collections.abc import Sequence
from dataclasses import dataclass

from bupo.report.cells import GRPO, Cell
from bupo.report.compare import ABOVE, BELOW, Comparison
from bupo.report.records import BASE
from bupo.report.scores import Score
from bupo.report.table import Table, Value


@dataclass(frozen=True)
class Place:
    """One point of the map.

    Attributes:
        layer: k, from 1; of ``auto`` what it became.
        comparison: with what the whole map is compared with; None where it is not evaluated yet.
    """

    layer: int
    iterative_steps: int
    cell: Cell
    score: Score | None
    comparison: Comparison | None

    @property
    def resolved(self) -> bool:
        """Whether the difference is one that noise does not explain."""
        return self.comparison is not None and self.comparison.verdict in (ABOVE, BELOW)


@dataclass(frozen=True)
class GridMap:
    """The cells of one model, method, training set and learning rate that differ in both axes.

    Attributes:
        against: ``base`` or ``grpo``: what every difference is from.
        lens: that the internal policies are read through; None before a run is configured.
        places: layers from below, then steps; of two in one place the cell that names its layer is first.
    """

    model: str
    method: str
    train_set: str | None
    learning_rate: float | None
    benchmark: str
    against: str
    lens: str | None
    places: list[Place]

    @property
    def layers(self) -> list[int]:
        """The layers, lowest first."""
        return sorted({place.layer for place in self.places})

    @property
    def steps(self) -> list[int]:
        """The lengths of phase 1, in steps."""
        return sorted({place.iterative_steps for place in self.places})

    def at(self, layer: int, steps: int) -> Place | None:
        """The place that a map shows; None where the grid has no such cell."""
        return next((p for p in self.places if (p.layer, p.iterative_steps) == (layer, steps)), None)


def grid_maps(
    cells: Sequence[Cell], scores: Sequence[Score], comparisons: Sequence[Comparison], benchmark: str
) -> list[GridMap]:
    """The maps on one benchmark (or the mean); none where no cells differ in both axes."""
    groups: dict[tuple[str, str, str | None, float | None], list[Cell]] = {}
    for cell in cells:
        run = cell.first
        if run.layer is not None and run.iterative_steps is not None:
            key = (cell.model, run.method, run.train_set, run.learning_rate)
            groups.setdefault(key, []).append(cell)
    by_score = {(s.model, s.cell): s for s in scores if s.benchmark == benchmark}
    found = []
    for (model, method, train_set, rate), members in groups.items():
        mine = [c for c in comparisons if c.model == model and c.benchmark == benchmark]
        to_grpo = {c.cell: c for c in mine if c.against != BASE}
        to_base = {c.cell: c for c in mine if c.against == BASE}
        against = GRPO if any(cell.name in to_grpo for cell in members) else BASE
        chosen = to_grpo if against == GRPO else to_base
        places = [
            Place(
                cell.first.layer or 0,
                cell.first.iterative_steps or 0,
                cell,
                by_score.get((model, cell.name)),
                chosen.get(cell.name),
            )
            for cell in members
        ]
        places.sort(key=lambda p: (p.layer, p.iterative_steps, p.cell.first.layer_requested == "auto"))
        lens = members[0].first.lens
        one = GridMap(model, method, train_set, rate, benchmark, against, lens, places)
        if len(one.layers) > 1 and len(one.steps) > 1:
            found.append(one)
    return found


def grid_table(maps: Sequence[GridMap]) -> Table:
    """Every place of every map, with its score and its difference."""
    columns = (
        *("model", "method", "train_set", "learning_rate", "lens", "benchmark", "layer", "iterative_steps"),
        *("cell", "layer_requested", "avg_at_n", "avg_low", "avg_high", "n_problems", "n_samples", "n_seeds"),
        *("against", "difference", "low", "high", "p_holm", "verdict"),
    )
    rows: list[tuple[Value, ...]] = []
    for one in maps:
        for place in one.places:
            score, told = place.score, place.comparison
            front = (one.model, one.method, one.train_set, one.learning_rate, one.lens, one.benchmark)
            where = (place.layer, place.iterative_steps, place.cell.name, place.cell.first.layer_requested)
            avg = (score.avg.value, score.avg.low, score.avg.high) if score else (None,) * 3
            n = (score.n_problems, score.n_samples, len(score.by_seed)) if score else (None,) * 3
            difference = (
                (told.against, told.difference.value, told.difference.low, told.difference.high)
                if told
                else (None,) * 4
            )
            verdict = (told.corrected, told.words) if told else (None, None)
            rows.append((*front, *where, *avg, *n, *difference, *verdict))
    return Table("grid", columns, rows)

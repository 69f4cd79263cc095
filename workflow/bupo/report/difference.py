"""Two experiments against each other: pairs of cells on the problems that both answered, and other settings.

A difference is B less A, problem by problem; verdicts are those of `bupo.report.compare`, of all pairs as one
family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bupo.errors import UserError
from bupo.evaluation.comparison import difference_over_seeds, differences, problem_values
from bupo.evaluation.intervals import over_problems
from bupo.evaluation.statistics import Floats
from bupo.report.cells import MEAN, Cell, cells_of
from bupo.report.compare import Comparison, comparison, corrected_family
from bupo.report.endings import Endings, endings
from bupo.report.records import BASE, Estimate, Results
from bupo.report.scores import estimate

IGNORED = ("name", "description", "cells", "expected_seconds", "mlflow")
"""Keys of an experiment that change no number, or that are compared cell by cell."""


@dataclass(frozen=True)
class PairedScore:
    """A pair of cells on one benchmark, or in the mean of all: both scores on the shared problems.

    Attributes:
        a_ends, b_ends: how the responses to these problems ended.
        comparison: B less A.
    """

    pair: "Pair"
    a: Estimate
    b: Estimate
    a_ends: Endings
    b_ends: Endings
    comparison: Comparison


@dataclass(frozen=True)
class Pair:
    """A cell of A and the cell of B that it is compared with."""

    a: Cell
    b: Cell

    @property
    def trained(self) -> bool:
        """Whether it is not the models before training."""
        return BASE not in (self.a.name, self.b.name)

    @property
    def label(self) -> str:
        """For people."""
        return self.b.label if self.a.label == self.b.label else f"{self.a.label} → {self.b.label}"


@dataclass(frozen=True)
class Difference:
    """Two experiments compared.

    Attributes:
        benchmarks: that both have, with the ids of the problems that are the same in both.
        left_out: problems of these benchmarks that only one has, or that read otherwise, by benchmark.
        settings: keys that differ, with both values as text.
    """

    a: Results
    b: Results
    pairs: list[Pair]
    benchmarks: dict[str, list[str]]
    left_out: dict[str, int]
    scores: list[PairedScore]
    settings: list[tuple[str, str, str]]

    @property
    def headline(self) -> list[PairedScore]:
        """What answers the comparison: the trained pairs, in the mean or on the only benchmark."""
        wanted = MEAN if len(self.benchmarks) > 1 else next(iter(self.benchmarks))
        return [s for s in self.scores if s.comparison.benchmark == wanted and s.pair.trained]

    @property
    def headline_by_size(self) -> list[PairedScore]:
        """The same, those that differ the most first."""
        return sorted(self.headline, key=lambda s: -abs(s.comparison.difference.value))


def difference(a: Results, b: Results, named: Mapping[str, str] | None = None) -> Difference:
    """Compare two experiments.

    Args:
        a: what is compared with.
        b: what is above where a difference is positive.
        named: cells of A and the cells of B to compare them with; those of one name where left out.

    Raises:
        UserError: they share no evaluated cell or problem, or a cell that is named is not there.
    """
    names = a.experiment["name"], b.experiment["name"]
    shared, left_out = _shared_problems(a, b)
    if not shared:
        raise UserError(
            f"{names[0]} and {names[1]} share no evaluated benchmark: {_list(a.benchmarks)} and "
            f"{_list(b.benchmarks)}; two experiments with a benchmark in common can be compared."
        )
    pairs = _pairs(a, b, named)
    pairs = [pair for pair in pairs if all(_evaluated(cell, shared) for cell in (pair.a, pair.b))]
    if not pairs:
        raise UserError(
            f"{names[0]} and {names[1]} share no evaluated cell: {_list(_cells(a))} and {_list(_cells(b))}; "
            "--cells A=B names which to compare."
        )
    return Difference(a, b, pairs, shared, left_out, _scores(a, pairs, shared), settings(a, b))


def settings(a: Results, b: Results) -> list[tuple[str, str, str]]:
    """What differs: keys of the experiment files, cells, models' weights, rows of the sets."""
    one, other = (
        _flat({key: value for key, value in r.experiment.items() if key not in IGNORED}) for r in (a, b)
    )
    one |= _facts(a)
    other |= _facts(b)
    cells = _cells(a), _cells(b)
    one["cells that the other has not"] = _list([name for name in cells[0] if name not in cells[1]])
    other["cells that the other has not"] = _list([name for name in cells[1] if name not in cells[0]])
    none = "–"
    return [
        (key, one.get(key, none), other.get(key, none))
        for key in dict.fromkeys([*one, *other])
        if one.get(key, none) != other.get(key, none)
    ]


def _shared_problems(a: Results, b: Results) -> tuple[dict[str, list[str]], dict[str, int]]:
    shared, left_out = {}, {}
    for name in a.benchmarks:
        if name not in b.benchmarks:
            continue
        ids = [
            {
                str(i)
                for run in r.runs
                if name in run.evaluated
                for i in run.evaluated[name].scores["problem_id"]
            }
            for r in (a, b)
        ]
        same = {i for i in ids[0] & ids[1] if a.problems.get(i) == b.problems.get(i)}
        if same:
            shared[name] = sorted(same)
            left_out[name] = len((ids[0] | ids[1]) - same)
    return shared, left_out


def _pairs(a: Results, b: Results, named: Mapping[str, str] | None) -> list[Pair]:
    ours, theirs = cells_of(b), cells_of(a)
    if not named:
        known = {(cell.model, cell.name): cell for cell in ours}
        return [Pair(cell, known[key]) for cell in theirs if (key := (cell.model, cell.name)) in known]
    found = []
    for first, second in named.items():
        for results, name in ((a, first), (b, second)):
            if name not in _cells(results):
                known_names = _list(_cells(results))
                raise UserError(
                    f"--cells: {results.experiment['name']} has no cell {name!r}; it has {known_names}."
                )
        found += [
            Pair(x, y) for x in theirs for y in ours if (x.name, y.name, x.model) == (first, second, y.model)
        ]
    return found


def _scores(a: Results, pairs: Sequence[Pair], shared: Mapping[str, list[str]]) -> list[PairedScore]:
    names = [*([MEAN] if len(shared) > 1 else []), *shared]
    found = []
    # What was there before training answers another question: it is a family of its own.
    for group in ([p for p in pairs if p.trained], [p for p in pairs if not p.trained]):
        drawn = [
            _score(a, pair, name, shared if name == MEAN else {name: shared[name]})
            for pair in group
            for name in names
        ]
        family = corrected_family([score.comparison for score in drawn], a.level)
        found += [replace(score, comparison=told) for score, told in zip(drawn, family, strict=True)]
    return found


def _score(a: Results, pair: Pair, name: str, within: Mapping[str, list[str]]) -> PairedScore:
    """A pair on a benchmark, or in the mean of those ``within``, before its family is corrected."""
    theirs, ours = ([_values(cell, n, ids) for n, ids in within.items()] for cell in (pair.a, pair.b))
    deltas = [differences(y, x) for x, y in zip(theirs, ours, strict=True)]
    before, after = (_by_seed(cell, within) for cell in (pair.a, pair.b))
    # One training seed on a side says nothing of what another would have given there.
    several = min(len(before), len(after)) > 1
    seeds = difference_over_seeds(after, before, a.level) if several else None
    one, other = (estimate(over_problems(*map(_array, each), level=a.level)) for each in (theirs, ours))
    against = a.experiment["name"]
    told = comparison(pair.b, against, name, deltas, seeds, a.level, a.resamples)
    return PairedScore(pair, one, other, endings(pair.a, within), endings(pair.b, within), told)


def _values(cell: Cell, benchmark: str, ids: Sequence[str]) -> dict[str, float]:
    matrix = cell.matrix(benchmark)
    assert matrix is not None
    values = matrix.values
    missing = [i for i in ids if i not in values]
    if missing:
        raise UserError(
            f"{cell.model}: {cell.name} on {benchmark} has no answers to {missing[0]!r}, which others have; "
            "evaluating it again would be right."
        )
    return {i: values[i] for i in ids}


def _by_seed(cell: Cell, shared: Mapping[str, list[str]]) -> list[float]:
    """The mean over benchmarks of each seed, on the shared problems."""
    found = []
    for run in cell.runs:
        means = []
        for name, ids in shared.items():
            values = problem_values(run.evaluated[name].scores)
            means.append(np.mean([values[i] for i in ids]))
        found.append(float(np.mean(means)))
    return found


def _array(values: Mapping[str, float]) -> Floats:
    return np.array([values[key] for key in sorted(values)])


def _evaluated(cell: Cell, shared: Mapping[str, list[str]]) -> bool:
    return all(cell.matrix(name) is not None for name in shared)


def _facts(results: Results) -> dict[str, str]:
    """What is not in the experiment file but behind the numbers."""
    found = {
        f"layer of {run.model}/{run.cell}": str(run.layer)
        for run in results.runs
        if run.layer_requested == "auto"
    }
    found |= {
        f"weights of {model.name}": model.sha256["model.safetensors"][:12]
        for model in results.models
        if "model.safetensors" in model.sha256
    }
    found |= {f"problems kept of {each.name}": str(each.kept) for each in results.data}
    found |= {
        f"problems of {each.benchmark} in {each.train}": f"{each.inside}, {each.removed} rows removed for it"
        for each in results.contamination
    }
    return found | {f"trained rows of {e.name} for {e.model}": str(e.kept) for e in results.exports}


def _flat(value: Any, key: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, part in value.items():
            found |= _flat(part, f"{key}.{name}" if key else str(name))
        return found
    return {key: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}


def _cells(results: Results) -> list[str]:
    return list(dict.fromkeys(run.cell for run in results.runs))


def _list(names: Sequence[str], most: int = 8) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

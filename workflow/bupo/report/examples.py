"""Answers to look at: problems on which training changed the most, for the better and for the worse."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import pandas as pd

from bupo.evaluation.comparison import problem_values
from bupo.report.cells import Cell
from bupo.report.records import BASE, Evaluated, Results

LONGEST, LEAD = 1500, 400
"""Characters shown of what differs from the base's response, and of what is the same before it."""
MOST_CELLS = 12


@dataclass(frozen=True)
class Response:
    """One sample beside the base's of the same number.

    Attributes:
        share: how many of the cell's samples are right.
        shared: what both begin with; first: the word with which they begin to differ; rest: what follows it.
        same: whether it is the base's to the end.
        status: what the grader made of it.
    """

    label: str
    share: str
    shared: str
    first: str
    rest: str
    same: bool
    status: str


@dataclass(frozen=True)
class Example:
    """A problem with the first sample of each cell.

    Attributes:
        omitted: cells that are not shown.
    """

    title: str
    model: str
    benchmark: str
    problem_id: str
    problem: str
    gold: str
    responses: list[Response]
    omitted: int


def examples(results: Results, cells: Sequence[Cell]) -> list[Example]:
    """For each model, on its first benchmark: the largest gain, the largest loss, and no change.

    Gain is the mean over trained cells of the share of right samples, less the base's. Ties go to the smaller
    id, so that the choice repeats.
    """
    found: list[Example] = []
    for model in results.experiment["models"]["train"]:
        mine = [cell for cell in cells if cell.model == model]
        for benchmark in results.benchmarks:
            shown = [cell for cell in mine if benchmark in cell.first.evaluated]
            if len(shown) < 2 or shown[0].name != BASE:
                continue
            found += examples_of(results, benchmark, shown)
            break
    return found


def examples_of(results: Results, benchmark: str, cells: list[Cell]) -> list[Example]:
    """The largest gain, loss and the least change of the cells after the first against that one."""
    values = [problem_values(cell.first.evaluated[benchmark].scores) for cell in cells]
    base, trained = values[0], values[1:]
    gain = {
        problem: sum(cell[problem] for cell in trained) / len(trained) - base[problem]
        for problem in base
        if all(problem in cell for cell in trained)
    }
    order = sorted(gain, key=lambda problem: (-gain[problem], problem))
    if not order:
        return []
    chosen: dict[str, str] = {}
    if gain[order[0]] > 0:
        chosen[order[0]] = f"Largest gain: {_points(gain[order[0]])}"
    if gain[order[-1]] < 0:
        chosen[order[-1]] = f"Largest loss: {_points(gain[order[-1]])}"
    middle = min(order, key=lambda problem: (abs(gain[problem]), problem))
    chosen.setdefault(middle, f"Least change: {_points(gain[middle])}")
    return [_example(results, benchmark, title, problem, cells) for problem, title in chosen.items()]


def _example(results: Results, benchmark: str, title: str, problem: str, cells: list[Cell]) -> Example:
    responses = []
    reference: str | None = None
    gold = ""
    for cell in cells[:MOST_CELLS]:
        evaluated = cell.first.evaluated[benchmark]
        mine = evaluated.scores[evaluated.scores["problem_id"] == problem].sort_values("sample")
        row = mine.iloc[0]
        gold = str(row.get("gold", ""))
        text = _text(evaluated, problem, row["sample"])
        share = f"{int(mine['correct'].sum())} of {len(mine)} samples right"
        responses.append(_beside(cell.label, share, text, reference, str(row["status"])))
        if cell is cells[0]:
            reference = text
    omitted = max(0, len(cells) - MOST_CELLS)
    asked = results.problems.get(problem, "")
    return Example(title, cells[0].model, benchmark, problem, asked, gold, responses, omitted)


def _points(gain: float) -> str:
    whole = round(100 * gain)
    return f"{whole:+d} points".replace("-", "−") if whole else "0 points"


def _beside(label: str, share: str, text: str | None, reference: str | None, status: str) -> Response:
    if text is None:
        return Response(label, share, "", "", "not stored", False, status)
    if reference is None:
        return Response(label, share, "", "", _cut(text, LONGEST), False, status)
    if text == reference:
        return Response(label, share, _tail(text, LONGEST), "", "", True, status)
    shared = _common_start(text, reference)
    first, rest = _first_word(text[len(shared) :])
    return Response(label, share, _tail(shared, LEAD), first, _cut(rest, LONGEST), False, status)


def _first_word(text: str) -> tuple[str, str]:
    """The first word with the space before it, and the rest; where nothing is left, words that say so."""
    if not text:
        return "(ends here)", ""
    match = re.match(r"\s*\S+", text)
    end = match.end() if match else len(text)
    return text[:end], text[end:]


def _text(evaluated: Evaluated, problem: str, sample: object) -> str | None:
    table: pd.DataFrame | None = evaluated.responses
    if table is None:
        return None
    found = table[(table["problem_id"] == problem) & (table["sample"] == sample)]["text"]
    return None if found.empty else str(found.iloc[0])


def _common_start(text: str, reference: str) -> str:
    """What two texts begin with, up to the last whole word."""
    pairs = zip(text, reference, strict=False)
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    if length == len(text) or (length == len(reference) and text[length].isspace()):
        return text[:length]
    return text[: max(text.rfind(space, 0, length) for space in " \n\t") + 1]


def _tail(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"({len(text) - longest} more characters) … {text[-longest:]}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + f" … ({len(text) - longest} more characters)"

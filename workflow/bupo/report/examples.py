"""Answers to look at: problems on which training changed the most, for the better and for the worse."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bupo.evaluation.comparison import problem_values
from bupo.report.cells import Cell
from bupo.report.records import BASE, Evaluated, Results

LONGEST = 1500


@dataclass(frozen=True)
class Response:
    """One sample, in two parts: what it shares with the base's sample of the same number, and the rest."""

    label: str
    share: str
    shared: str
    rest: str
    status: str


@dataclass(frozen=True)
class Example:
    """A problem with the first sample of each cell."""

    title: str
    model: str
    benchmark: str
    problem_id: str
    problem: str
    gold: str
    responses: list[Response]


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
            found += _of_benchmark(results, model, benchmark, shown)
            break
    return found


def _of_benchmark(results: Results, model: str, benchmark: str, cells: list[Cell]) -> list[Example]:
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
        chosen[order[0]] = f"Largest gain: {100 * gain[order[0]]:+.0f} points"
    if gain[order[-1]] < 0:
        chosen[order[-1]] = f"Largest loss: {100 * gain[order[-1]]:+.0f} points".replace("-", "−")
    middle = min(order, key=lambda problem: (abs(gain[problem]), problem))
    chosen.setdefault(middle, f"Least change: {100 * gain[middle]:+.0f} points".replace("-", "−"))
    return [_example(results, model, benchmark, title, problem, cells) for problem, title in chosen.items()]


def _example(
    results: Results, model: str, benchmark: str, title: str, problem: str, cells: list[Cell]
) -> Example:
    responses = []
    reference = ""
    gold = ""
    for cell in cells:
        evaluated = cell.first.evaluated[benchmark]
        mine = evaluated.scores[evaluated.scores["problem_id"] == problem].sort_values("sample")
        row = mine.iloc[0]
        gold = str(row.get("gold", ""))
        text = _text(evaluated, problem, row["sample"])
        shared = "" if text is None else _common_start(text, reference)
        share = f"{int(mine['correct'].sum())} of {len(mine)} samples right"
        shown = "not stored" if text is None else _cut(text[len(shared) :], LONGEST)
        responses.append(Response(cell.label, share, shared, shown, str(row["status"])))
        if cell.name == BASE:
            reference = text or ""
    return Example(title, model, benchmark, problem, results.problems.get(problem, ""), gold, responses)


def _text(evaluated: Evaluated, problem: str, sample: object) -> str | None:
    table: pd.DataFrame | None = evaluated.responses
    if table is None:
        return None
    found = table[(table["problem_id"] == problem) & (table["sample"] == sample)]["text"]
    return None if found.empty else str(found.iloc[0])


def _common_start(text: str, reference: str) -> str:
    """What two texts begin with, up to the last whole word."""
    length = 0
    for ours, theirs in zip(text, reference, strict=False):
        if ours != theirs:
            break
        length += 1
    if length < len(text) or length < len(reference):
        length = text.rfind(" ", 0, length) + 1
    return text[:length]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + f" … ({len(text) - longest} more characters)"

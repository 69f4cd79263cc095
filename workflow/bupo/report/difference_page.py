"""The page of two experiments compared, its figures, tables and summary."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bupo.figures.panel import Panel
from bupo.figures.style import Look, cell_looks
from bupo.files import write_json, write_text
from bupo.report.cells import Cell
from bupo.report.compare import ABOVE, BELOW
from bupo.report.difference import Difference, PairedScore
from bupo.report.difference_entropy import (
    analysed_twice,
    change_of_both,
    last_snapshots,
)
from bupo.report.difference_tables import costs_of, differences_table, grids_of, tables
from bupo.report.examples import Example, examples_of
from bupo.report.figures_grid import grid_map
from bupo.report.figures_scores import differences, pass_at_k
from bupo.report.figures_training import CURVES, training_curve
from bupo.report.html import environment
from bupo.report.page import provenance, write_parts
from bupo.report.verdict import TOLD
from bupo.report.words import points, span

MOST_EXAMPLES = 3
"""Pairs of which answers are shown, those that differ the most first."""


@dataclass(frozen=True)
class Told:
    """The answer of the page: a title, its tone and sentences."""

    title: str
    tone: str
    sentences: list[str]


def write_difference(found: Difference, out: Path) -> dict[str, Any]:
    """Write ``index.html``, ``figures/``, ``tables/`` and ``summary.json`` to ``out``.

    Returns:
        The summary.
    """
    told = answer(found)
    panels = _panels(found)
    page = (
        environment()
        .get_template("difference.html.jinja")
        .render(
            sections=_sections(panels),
            a=found.a.experiment,
            b=found.b.experiment,
            found=found,
            answer=told,
            panels_of=panels,
            benchmarks=list(dict.fromkeys(s.comparison.benchmark for s in found.scores)),
            percent_level=f"{100 * found.a.level:g}",
            analysed=analysed_twice(found.a, found.b),
            costs=costs_of(found),
            examples=_examples(found),
            reference=f"of {found.a.experiment['name']}",
            swatches={},
            **provenance(),
        )
    )
    summary = _summary(found, told)
    named, _ = _named_cells(found)
    write_parts(out, [panel for group in panels.values() for panel in group], tables(found, named))
    write_json(out / "summary.json", summary)
    write_text(out / "index.html", page)
    return summary


def answer(found: Difference) -> Told:
    """What the trained pairs show."""
    a, b = found.a.experiment["name"], found.b.experiment["name"]
    told = found.headline
    above = sum(s.comparison.verdict == ABOVE for s in told)
    below = sum(s.comparison.verdict == BELOW for s in told)
    if not told:
        title, tone = "No comparison: they share no trained cell.", "open"
    elif above and below:
        title, tone = f"It depends on the cell: {above} above, {below} below, of {len(told)}.", "mixed"
    elif above or below:
        word, tone = ("above", "good") if above else ("below", "bad")
        part = "" if above + below == len(told) else f" in {above + below} of {len(told)} cells"
        title = f"{b} is {word} {a}{part}" + ("; the rest is not resolved." if part else ".")
        tone = "mixed" if part else tone
    else:
        title, tone = f"Not resolved: no difference between {a} and {b} could be shown.", "open"
    shown = found.headline_by_size[:TOLD] if len(told) > TOLD + 1 else told
    sentences = [_sentence(score, found) for score in shown]
    if rest := len(told) - len(shown):
        sentences.append(f"These differ the most; the other {rest} cells are in the table below.")
    return Told(title, tone, sentences)


def _sentence(score: PairedScore, found: Difference) -> str:
    c = score.comparison
    where = "over all shared benchmarks" if len(found.benchmarks) > 1 else f"on {c.benchmark}"
    seeds = f"; over seeds {span(c.over_seeds)}" if c.over_seeds else ""
    sure = "p\u00a0<\u00a00.001" if c.corrected < 0.001 else f"p\u00a0=\u00a0{c.corrected:.3f}"
    return (
        f"{score.pair.label}: {points(c.difference.value)} points {where} "
        f"({100 * found.a.level:g}\u00a0% interval {span(c.difference)}{seeds}, "
        f"{c.n_problems} problems, {sure} corrected): {c.words}."
    )


def _panels(found: Difference) -> dict[str, list[Panel]]:
    shown, looks = _named_cells(found)
    pairs = [replace(s.comparison, cell=s.pair.label) for s in found.scores if s.pair.trained]
    labels = [Cell(p.b.model, p.label, [replace(p.b.first, layer_requested=None)]) for p in found.pairs]
    pair_looks = cell_looks([label.name for label in labels])
    models = list(dict.fromkeys(pair.b.model for pair in found.pairs))
    a, b = found.a.experiment["name"], found.b.experiment["name"]
    trained = [(s.pair.a, s.pair.b) for s in found.headline_by_size]
    drawn = {
        "answer": [
            differences(pairs, labels, pair_looks, model, a, found.a.level, first=first)
            for model in models
            for first in (True, False)
        ],
        "grid": [grid_map(one, found.a.level) for one in grids_of(found)],
        "passk": [pass_at_k(shown, looks, model, name) for model in models for name in found.benchmarks],
        "training": [training_curve(shown, looks, model, curve) for model in models for curve in CURVES],
        "entropy": [
            *(change_of_both(twice, (a, b)) for twice in analysed_twice(found.a, found.b)),
            *(
                last_snapshots(found.a, found.b, [pair for pair in trained if pair[1].model == model], model)
                for model in models
            ),
        ],
    }
    return {name: [panel for panel in each if panel is not None] for name, each in drawn.items()}


def _named_cells(found: Difference) -> tuple[list[Cell], dict[str, Look]]:
    """The cells of both under names that say whose they are; those of A are dashed."""
    cells, looks = [], {}
    plain = cell_looks([pair.b.name for pair in found.pairs])
    for pair in found.pairs:
        for results, cell, dash in ((found.a, pair.a, "dotted"), (found.b, pair.b, "solid")):
            name = f"{results.experiment['name']}: {cell.name}"
            looks[name] = replace(plain[pair.b.name], dash=dash)
            cells.append(Cell(cell.model, name, cell.runs))
    return cells, looks


def _sections(panels: dict[str, list[Panel]]) -> list[tuple[str, str]]:
    every = {
        "answer": "Answer",
        "settings": "Settings",
        "grid": "Layer × steps",
        "scores": "Scores",
        "passk": "pass@k",
        "training": "Training",
        "entropy": "Entropy",
        "examples": "Examples",
        "cost": "Cost",
        "provenance": "Provenance",
    }
    return [(id_, name) for id_, name in every.items() if id_ == "entropy" or panels.get(id_, True)]


def _examples(found: Difference) -> list[Example]:
    """Answers of the trained pairs that differ the most, on the first shared benchmark."""
    name = next(iter(found.benchmarks))
    told = found.headline_by_size[:MOST_EXAMPLES]
    names = found.a.experiment["name"], found.b.experiment["name"]
    return [
        example
        for score in told
        for example in examples_of(
            found.b,
            name,
            [
                Cell(cell.model, f"{whose}: {cell.name}", cell.runs)
                for whose, cell in zip(names, (score.pair.a, score.pair.b), strict=True)
            ],
        )
    ]


def _summary(found: Difference, told: Told) -> dict[str, Any]:
    told_of = differences_table(found.scores)
    return {
        "a": found.a.experiment["name"],
        "b": found.b.experiment["name"],
        "answer": asdict(told),
        "differences": [dict(zip(told_of.columns, row, strict=True)) for row in told_of.rows],
        "problems": {name: len(ids) for name, ids in found.benchmarks.items()},
        "problems_left_out": found.left_out,
        "settings": [dict(zip(("key", "a", "b"), row, strict=True)) for row in found.settings],
    }

"""The answer in words: does bottom-up training beat GRPO here, by how much, how sure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bupo.report.cells import GRPO, MEAN, Cell, grpo_for
from bupo.report.compare import ABOVE, BELOW, OPEN, Comparison, headline
from bupo.report.records import BASE, Results
from bupo.report.scores import Score
from bupo.report.words import points, span

FLOOR, CEILING = 0.05, 0.98
TOLD = 5
"""Cells that the answer tells one by one; of more, those that differ the most, the resolved ones first."""


@dataclass(frozen=True)
class Answer:
    """The answer for one model.

    Attributes:
        title: a short sentence.
        tone: ``good``, ``bad``, ``mixed`` or ``open``.
        sentences: how much and how sure.
    """

    model: str
    title: str
    tone: str
    sentences: list[str]


def answers(
    results: Results, cells: Sequence[Cell], scores: Sequence[Score], comparisons: Sequence[Comparison]
) -> list[Answer]:
    """One answer for each trained model."""
    told = headline(comparisons, results.benchmarks)
    found = []
    for model in results.experiment["models"]["train"]:
        mine = [cell for cell in cells if cell.model == model]
        compared = [c for c in told if c.model == model]
        wanted = MEAN if len(results.benchmarks) > 1 else results.benchmarks[0]
        values = [s.avg.value for s in scores if s.model == model and s.benchmark == wanted]
        # A difference that is resolved is one, however low the scores are.
        limit = None if any(c.verdict != OPEN for c in compared) else _limit(model, values)
        found.append(limit or _answer(model, mine, compared, results))
    return found


def _limit(model: str, values: list[float]) -> Answer | None:
    """Scores that compare nothing, because all of them are at one end of the scale."""
    if not values:
        return Answer(model, "No comparison: the model is not evaluated on all benchmarks yet.", "open", [])
    if max(values) < FLOOR:
        text = (
            f"Every cell solves less than {100 * FLOOR:.0f} % of the problems, before and after training: "
            "they are too hard for this model, or it was trained for a few steps only. The run shows that "
            "every stage works on these files; it compares no methods."
        )
        return Answer(model, "No comparison: every score is at the floor.", "open", [text])
    if min(values) > CEILING:
        text = "The benchmarks are too easy to tell methods apart; harder ones are needed."
        return Answer(model, "No comparison: every score is at the ceiling.", "open", [text])
    return None


def _answer(model: str, cells: list[Cell], told: list[Comparison], results: Results) -> Answer:
    bottom_up = [cell for cell in cells if cell.first.bottom_up]
    labels = {cell.name: cell.label for cell in cells}
    against = [c for c in told if c.against != BASE and c.cell in {cell.name for cell in bottom_up}]
    if not bottom_up:
        return Answer(model, "No comparison: no cell trains an internal policy.", "open", [])
    if not against:
        reason = (
            "the runs are not evaluated on all benchmarks yet."
            if any(grpo_for(cell, cells) for cell in bottom_up)
            else "no GRPO cell shares their training set, steps, learning rate and seeds."
        )
        return Answer(model, "No comparison with GRPO.", "open", [f"There are bottom-up cells, but {reason}"])
    above = [c for c in against if c.verdict == ABOVE]
    below = [c for c in against if c.verdict == BELOW]
    title, tone = _title(len(above), len(below), len(against))
    told_first = _most_telling(against)
    sentences = [_sentence(c, labels[c.cell], results) for c in told_first]
    if len(against) > len(told_first):
        sentences.append(_others([c for c in against if c not in told_first]))
    if not above and not below:
        least = [c.resolvable for c in against if c.resolvable is not None]
        if least:
            sentences.append(
                f"With these {against[0].n_problems} problems a true difference of about "
                f"{100 * max(least):.1f} points or more would mostly have shown (80 % power)."
            )
    sentences.append(_learning(told, labels))
    seeds = {len(cell.runs) for cell in [*bottom_up, *(c for c in cells if c.first.method == GRPO)]}
    if seeds == {1}:
        sentences.append(
            "Each cell was trained with one seed: the intervals say what other problems would give, not what "
            "another training seed would."
        )
    return Answer(model, title, tone, [sentence for sentence in sentences if sentence])


def _title(above: int, below: int, total: int) -> tuple[str, str]:
    if above and below:
        return f"It depends on the cell: of {total}, {above} beat GRPO and {below} fell behind it.", "mixed"
    if above:
        return (
            ("Yes: bottom-up training beats GRPO here.", "good")
            if above == total
            else (
                f"In part: of {total} bottom-up cells {above} beat GRPO; the rest is not resolved.",
                "mixed",
            )
        )
    if below:
        return (
            ("No: GRPO beats bottom-up training here.", "bad")
            if below == total
            else (
                f"No: of {total} bottom-up cells {below} fell behind GRPO; the rest is not resolved.",
                "bad",
            )
        )
    return "Not resolved: no difference between bottom-up training and GRPO could be shown here.", "open"


def _most_telling(against: list[Comparison]) -> list[Comparison]:
    """The comparisons to tell, in the experiment's order where they are few."""
    if len(against) <= TOLD + 1:  # a sentence about one other cell is as long as its own
        return against
    rank = {ABOVE: 0, BELOW: 0}
    return sorted(against, key=lambda c: (rank.get(c.verdict, 1), -abs(c.difference.value)))[:TOLD]


def _others(rest: list[Comparison]) -> str:
    counts = Counter(c.verdict if c.verdict in (ABOVE, BELOW) else OPEN for c in rest)
    parts = ", ".join(f"{counts[word]} {word}" for word in (ABOVE, BELOW, OPEN) if counts[word])
    low, high = min(c.difference.value for c in rest), max(c.difference.value for c in rest)
    return (
        f"The other {len(rest)} cells are between {points(low)} and {points(high)} points against GRPO: "
        f"{parts}; each is in the tables below."
    )


def _sentence(comparison: Comparison, label: str, results: Results) -> str:
    where = "over all benchmarks" if len(results.benchmarks) > 1 else f"on {comparison.benchmark}"
    corrected = comparison.corrected
    sure = "p\u00a0<\u00a00.001" if corrected < 0.001 else f"p\u00a0=\u00a0{corrected:.3f}"
    return (
        f"{label}: {points(comparison.difference.value)} points against {comparison.against} {where} "
        f"({100 * results.level:g}\u00a0% interval {span(comparison.difference)}, "
        f"{comparison.n_problems} problems, {sure} corrected): "
        f"{_over_seeds(comparison)}{comparison.words}."
    )


def _over_seeds(comparison: Comparison) -> str:
    return f"over seeds {span(comparison.over_seeds)}: " if comparison.over_seeds else ""


def _learning(told: list[Comparison], labels: dict[str, str]) -> str:
    gains = [c for c in told if c.against == BASE]
    if not gains:
        return ""
    parts = [
        f"{labels[c.cell]} {points(c.difference.value)} ({span(c.difference)})".replace(" to ", " to\u00a0")
        for c in gains
    ]
    if len(gains) > TOLD + 1:
        low, high = (end(gains, key=lambda c: c.difference.value) for end in (min, max))
        ends = [f"{labels[c.cell]} {points(c.difference.value)} ({span(c.difference)})" for c in (low, high)]
        parts = [f"from {ends[0]} to {ends[1]}"]
    learned = sum(c.verdict == ABOVE for c in gains)
    lead = {0: "No cell is above the model before training", len(gains): "Every cell learned"}.get(
        learned, f"{learned} of {len(gains)} cells learned"
    )
    return f"{lead}. Points against base: {'; '.join(parts)}."

"""The answer in words: its titles, and what it tells of more cells than it can name."""

import dataclasses

import pytest
from results_in_memory import both, results

from bupo.report.cells import cells_of
from bupo.report.compare import ABOVE, ABOVE_ALONE, BELOW, OPEN, comparisons_of
from bupo.report.scores import scores_of
from bupo.report.verdict import TOLD, Answer, answers


def answer(told: dict[str, tuple[float, str]]) -> Answer:
    """What is said where the cells have these differences from GRPO, in points, and these verdicts."""
    found = results({name: {"a": 0.5} for name in ("base", "grpo", *told)}, {"a": 20})
    cells = cells_of(found)
    comparisons = []
    for one in comparisons_of(found, cells):
        if one.against == "grpo":
            points, verdict = told[one.cell]
            difference = dataclasses.replace(one.difference, value=points / 100)
            one = dataclasses.replace(one, difference=difference, verdict=verdict)
        comparisons.append(one)
    return answers(found, cells, scores_of(found, cells), comparisons)[0]


def named(found: Answer) -> list[str]:
    """The cells whose difference from GRPO is told, in turn."""
    return [sentence.split(":")[0] for sentence in found.sentences if " points against grpo " in sentence]


def others(found: Answer) -> list[str]:
    return [sentence for sentence in found.sentences if sentence.startswith("The other")]


@pytest.mark.parametrize(
    ("verdicts", "title", "tone"),
    [
        ([ABOVE, BELOW], "It depends on the cell: of 2, 1 beat GRPO and 1 fell behind it.", "mixed"),
        ([ABOVE, BELOW, BELOW], "It depends on the cell: of 3, 1 beat GRPO and 2 fell behind it.", "mixed"),
        ([ABOVE, OPEN], "In part: of 2 bottom-up cells 1 beat GRPO; the rest is not resolved.", "mixed"),
        ([BELOW, OPEN], "No: of 2 bottom-up cells 1 fell behind GRPO; the rest is not resolved.", "bad"),
    ],
)
def test_cells_that_disagree_have_a_title_that_says_so(verdicts, title, tone):
    found = answer({f"bupo-k{k}": (k, verdict) for k, verdict in enumerate(verdicts)})
    assert (found.title, found.tone) == (title, tone)


def test_cells_on_both_sides_of_grpo_depend_on_the_cell():
    rates = {"base": both(0.3), "grpo": both(0.5), "bupo-k3": both(0.85), "bupo-k4": both(0.15)}
    found = results(rates, {"a": 150, "b": 50})
    cells = cells_of(found)
    told = answers(found, cells, scores_of(found, cells), comparisons_of(found, cells))[0]
    assert told.title.startswith("It depends on the cell: of 2,") and told.tone == "mixed"


@pytest.mark.parametrize(("rate", "title"), [(1.0, "every score is at the ceiling."), (0.96, "with GRPO.")])
def test_benchmarks_that_all_cells_solve_compare_nothing(rate, title):
    found = results({name: both(rate) for name in ("base", "grpo", "bupo-k3")}, {"a": 150, "b": 50})
    cells = cells_of(found)
    told = answers(found, cells, scores_of(found, cells), [])[0]
    assert told.title.startswith("No comparison") and told.title.endswith(title) and told.tone == "open"
    assert ("too easy to tell methods apart" in told.sentences[0]) == (rate == 1.0)


def test_of_many_cells_the_resolved_ones_come_first_then_those_that_differ_the_most():
    found = answer(
        {
            **{"bupo-k0": (9.0, OPEN), "bupo-k1": (-5.0, BELOW), "bupo-k2": (6.0, ABOVE)},
            **{"bupo-k3": (-8.0, OPEN), "bupo-k4": (1.0, OPEN), "bupo-k5": (-2.0, OPEN)},
            **{"bupo-k6": (3.0, ABOVE_ALONE), "bupo-k7": (2.0, ABOVE)},
        }
    )
    assert named(found) == ["bupo-k2", "bupo-k1", "bupo-k7", "bupo-k0", "bupo-k3"]
    assert others(found) == [
        "The other 3 cells are between −2.0 and +3.0 points against GRPO: 3 not resolved; "
        "each is in the tables below."
    ]


def test_the_others_are_counted_by_their_verdicts():
    points = (1, -2, 3, -4, 5, -6, 7, -8)
    found = answer({f"bupo-k{k}": (p, ABOVE if p > 0 else BELOW) for k, p in enumerate(points)})
    assert named(found) == ["bupo-k7", "bupo-k6", "bupo-k5", "bupo-k4", "bupo-k3"]
    assert others(found)[0].startswith("The other 3 cells are between −2.0 and +3.0 points")
    assert ": 2 above, 1 below; " in others(found)[0]


def test_a_few_cells_are_told_in_the_experiments_order():
    found = answer({f"bupo-k{k}": (k, ABOVE if k == 3 else OPEN) for k in range(TOLD + 1)})
    assert named(found) == [f"bupo-k{k}" for k in range(TOLD + 1)] and others(found) == []

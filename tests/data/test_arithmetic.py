"""Word problems: right, different, repeatable, and in one split only."""

import re
from random import Random

import pytest

from bupo.data.arithmetic import DIFFICULTIES, SPLITS, drill, problems, split_of
from bupo.errors import UserError

CALCULATE = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
NAMES = {"+": "addition", "-": "subtraction", "*": "multiplication", "/": "sharing"}


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_line_of_a_solution_is_right(difficulty):
    for problem in problems("train", 300, difficulty, seed=5):
        work, box = problem.solution.split(". ")
        steps = [re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", step) for step in work.split(", ")]
        assert all(steps)
        left, operators, right, results = zip(*(step.groups() for step in steps), strict=True)
        for a, operator, b, result in zip(left, operators, right, results, strict=True):
            assert CALCULATE[operator](int(a), int(b)) == int(result)
        assert left[1:] == results[:-1], "each step goes on from the one before"
        assert results[-1] == problem.answer
        assert box == f"\\boxed{{{problem.answer}}}"
        assert problem.operation == ", ".join(NAMES[operator] for operator in operators)
        told = re.findall(r"\d+", problem.problem)
        assert told == [left[0], *right], (
            "the story tells exactly the numbers of the calculation, in its order"
        )
        assert str(len(steps)) == problem.level
        assert int(problem.level) in DIFFICULTIES[difficulty]


def test_drills_are_right_and_go_on_from_result_to_result():
    rng = Random(1)
    for _ in range(200):
        steps = [
            re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", s).groups() for s in drill(rng, 6)[:-1].split(", ")
        ]
        assert len(steps) == 6
        assert all(CALCULATE[operator](int(a), int(b)) == int(c) for a, operator, b, c in steps)
        assert [a for a, *_ in steps[1:]] == [c for *_, c in steps[:-1]]


def test_the_same_seed_gives_the_same_problems_and_another_seed_others():
    first = problems("heldout", 50, "hard", seed=3)
    assert problems("heldout", 50, "hard", seed=3) == first
    assert problems("heldout", 20, "hard", seed=3) == first[:20]
    assert problems("heldout", 50, "hard", seed=4) != first


def test_splits_share_neither_a_problem_nor_a_calculation():
    texts = {s: {p.problem for d in DIFFICULTIES for p in problems(s, 400, d, seed=1)} for s in SPLITS}
    works = {s: {p.solution for d in DIFFICULTIES for p in problems(s, 400, d, seed=2)} for s in SPLITS}
    for one in SPLITS:
        for other in set(SPLITS) - {one}:
            assert texts[one].isdisjoint(texts[other])
            assert works[one].isdisjoint(works[other])


def test_a_list_holds_no_problem_twice_and_only_its_split():
    for split in SPLITS:
        found = problems(split, 400, "easy", seed=9)
        assert len({p.problem for p in found}) == 400
        assert {split_of(p) for p in found} == {split}


def test_held_out_problems_differ_in_their_calculations():
    assert len({p.solution for p in problems("heldout", 100, "easy", seed=1)}) == 100


def test_all_operations_and_numbers_of_steps_occur():
    found = problems("heldout", 300, "mixed", seed=1)
    assert {name for p in found for name in p.operation.split(", ")} == set(NAMES.values())
    assert {len(p.operation.split(", ")) for p in found} == {1, 2, 3}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("test", 5, "easy", 1), "split is 'test'; it can be warmup, train, heldout"),
        (("train", 5, "simple", 1), "difficulty is 'simple'; it can be easy, hard, mixed"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(arguments, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        problems(*arguments)


def test_more_problems_than_there_are_is_told(monkeypatch):
    from bupo.data import arithmetic, arithmetic_story

    monkeypatch.setattr(arithmetic_story, "THINGS", ("apples",))
    monkeypatch.setattr(arithmetic_story, "PEOPLE", arithmetic_story.PEOPLE[:3])
    monkeypatch.setattr(arithmetic, "LARGEST", 3)
    monkeypatch.setitem(arithmetic.DIFFICULTIES, "easy", (1,))
    with pytest.raises(UserError, match="5000 different easy problems of split warmup were asked for"):
        problems("warmup", 5000, "easy", 1)

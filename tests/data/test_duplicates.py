"""Duplicates: one answer keeps one row, a contradiction keeps none, lookalikes stay."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.data.answers import Answers
from bupo.data.duplicates import drop_duplicates
from bupo.data.normal import Problem, problem_id


def make(text, answer, number=0):
    return Problem(
        id=problem_id("set", text),
        problem=text,
        answer=answer,
        subject="",
        level="",
        solution="",
        source="set",
        gold="",
        upstream_file="file",
        upstream_row=number,
        upstream_hash=f"{number:032x}",
    )


def same(first, second):
    return first.replace(" ", "") == second.replace(" ", "")


CASES = [
    ([("What is 1+1?", "2"), ("What is 1 + 1 ?", "2")], "equal", 1),
    ([("What is $1+1$", "1 + 1"), ("What is 1+1?", "1+1")], "equivalent", 1),
    ([("What is 1+1?", "2"), ("What is 1+1", "3"), ("What is 1+1", "2")], "conflicting", 0),
    ([("What is 1+1?", "2"), ("What is 1-1?", "0")], "different", 2),
    ([("Take 3.5 off", "2"), ("Take 35 off", "0")], "different", 2),
    ([("What is the x-axis?", "2"), ("What is the x axis?", "2")], "equal", 1),
    ([("What is the x-axis?", "2"), ("What is the x axis?", "4")], "conflicting", 0),
]


@pytest.mark.parametrize(("rows", "verdict", "left"), CASES)
def test_verdicts(rows, verdict, left):
    problems = [make(text, answer, n) for n, (text, answer) in enumerate(rows)]
    kept, groups = drop_duplicates(problems, same, by_letters=True)
    assert [group.verdict for group in groups] == [verdict]
    assert len(kept) == left
    gone = [problem for group in groups for problem, _ in group.dropped()]
    assert sorted(p.upstream_row for p in kept + gone) == list(range(len(rows)))


def test_without_letters_only_equal_texts_fall_together():
    rows = [make("3 + 0", "3", 0), make("3 - 0", "3", 1), make("3  +  0", "3", 2)]
    kept, _ = drop_duplicates(rows, same, by_letters=False)
    assert len(kept) == 2


def test_equivalence_is_the_graders():
    rows = [make("Half of one?", r"\frac{1}{2}", 0), make("Half of  one?", "0.5", 1)]
    with Answers() as answers:
        kept, groups = drop_duplicates(rows, answers.same, by_letters=True)
    assert [group.verdict for group in groups] == ["equivalent"]
    assert len(kept) == 1


TEXTS = st.sampled_from(
    ["What is 1+1?", "what is 1 + 1", "What is 1-1?", "x-axis", "x axis", "Other", "other."]
)


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["1", "2", "1 "])), max_size=12), st.randoms())
def test_order_does_not_matter_and_no_row_is_lost(rows, rng: random.Random):
    problems = [make(text, answer, n) for n, (text, answer) in enumerate(rows)]
    shuffled = problems[:]
    rng.shuffle(shuffled)
    kept, groups = drop_duplicates(problems, same, by_letters=True)
    other, _ = drop_duplicates(shuffled, same, by_letters=True)
    assert {p.upstream_row for p in kept} == {p.upstream_row for p in other}
    gone = [problem.upstream_row for group in groups for problem, _ in group.dropped()]
    assert sorted([p.upstream_row for p in kept] + gone) == list(range(len(rows)))
    assert drop_duplicates(kept, same, by_letters=True)[0] == kept
    assert len({p.id for p in kept}) == len(kept)

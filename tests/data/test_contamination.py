"""The contamination gate: leaks, reworded problems for review, lookalikes that are none."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bupo.data.contamination import matches, report
from bupo.data.normal import Problem, problem_id
from bupo.data.overlap import NGRAM, candidates, tokens

LONG = (
    "A train leaves the station at noon and travels north at 60 miles per hour while another train leaves the same "
    "station two hours later and follows it at 80 miles per hour; after how many hours does the second meet the first?"
)


def make(text, answer="1", source="train"):
    return Problem(problem_id(source, text), text, answer, "", "", "", source, "integer", "f", 0, "0" * 32)


def same(first, second):
    return first == second


def kinds(ours, theirs):
    return [m.kind for m in matches([make(*ours)], [make(*theirs, source="bench")], same)]


CASES = [
    ((LONG, "6"), (LONG, "6"), ["exact"]),
    ((LONG.upper().replace(" ", "  ") + "!", "6"), (LONG, "6"), ["exact"]),
    ((LONG + " Give an integer.", "6"), (LONG, "6"), ["overlap"]),
    ((LONG + " [asy] draw((0,0)--(1,1)); label(1); [/asy]", "6"), (LONG, "6"), ["overlap"]),
    ((LONG.replace("60", "50"), "6"), (LONG, "6"), ["reworded"]),
    ((LONG.replace("60", "50"), "7"), (LONG, "6"), []),
    (("What is the rest of $7^5$ mod 8?", "7"), ("What is the rest of $7^5$ mod 9?", "4"), []),
    (("Find the value of $3 + 4$.", "7"), ("Find the value of $3 - 4$.", "-1"), ["lookalike"]),
    (("Find the value of $3 + 4$.", "7"), ("Find the value of $3 + 4$.", "8"), ["exact"]),
    (("Find 2+2", "4"), ("Find 2 + 2.", "4"), ["exact"]),
    (("Dogs bark", "4"), ("Cats meow", "4"), []),
]


@pytest.mark.parametrize(("ours", "theirs", "expected"), CASES)
def test_kinds(ours, theirs, expected):
    assert kinds(ours, theirs) == expected


def test_mod_8_is_not_mod_9_where_nearly_everything_else_is_equal():
    more = " ".join("".join(letters) for letters in itertools.permutations("abcde"))
    base = LONG + " Give the answer modulo {}. " + more
    assert kinds((base.format(8), "5"), (base.format(9), "6")) == ["lookalike"]
    assert kinds((base.format(8), "6"), (base.format(9), "6")) == ["overlap"]


def test_a_problem_inside_a_longer_one_is_for_review():
    context = (
        " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
        + " "
        + " ".join("".join(pair) for pair in itertools.combinations("qwertz", 3))
    )
    assert kinds((f"{context} {context[::-1]} {LONG}", "6"), (LONG, "6")) == ["reworded"]


def test_report_counts_and_removal():
    train = {"train": [make(LONG, "6"), make("Something else entirely", "2"), make(LONG + " Go.", "6")]}
    bench = {"bench": [make(LONG, "6", "bench"), make("Not in there", "3", "bench")]}
    spare = {"spare": [make("Something else entirely!", "2", "spare")]}
    found = report(train, bench, spare, same)
    pairs = {pair["benchmark"]: pair for pair in found["pairs"]}
    assert (pairs["bench"]["exact"], pairs["bench"]["overlap"], pairs["bench"]["removed"]) == (1, 1, 2)
    assert (pairs["bench"]["inside"], pairs["spare"]["inside"], pairs["spare"]["removed"]) == (1, 1, 0)
    assert {leak["train_id"] for leak in found["leaks"] if leak["removed"]} == {
        train["train"][0].id,
        train["train"][2].id,
    }
    assert "1 of the 2 problems of bench are in train" in pairs["bench"]["told"]
    assert "no fair test" in pairs["spare"]["told"]


def test_empty_sides():
    assert matches([], [make(LONG)], same) == []
    assert matches([make(LONG)], [], same) == []


def plain(left, right):
    """The slow plain way: all pairs of sets."""

    def grams(text):
        words = tokens(text)
        return {tuple(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}

    scores = {}
    for (i, a), (j, b) in itertools.product(enumerate(left), enumerate(right)):
        ours, theirs = grams(a), grams(b)
        if score := len(ours & theirs) / len(ours | theirs):
            scores[i, j] = score
    return scores


WORDS = st.lists(st.sampled_from(["a", "b", "c", "1", "2", "x"]), min_size=1, max_size=14).map(" ".join)


@settings(max_examples=60)
@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(WORDS, min_size=1, max_size=5))
def test_the_fast_way_gives_the_plain_ways_scores(left, right):
    expected = plain(left, right)
    found = {(c.left, c.right): c.score for c in candidates(left, right, 1e-9, 1e-9)}
    assert found.keys() == expected.keys()
    for pair, score in expected.items():
        assert found[pair] == pytest.approx(score)

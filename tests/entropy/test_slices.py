import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_checkpoint import response_of

from bupo.entropy.kinds import KINDS
from bupo.entropy.settings import Analysis
from bupo.entropy.slices import Slices


def kinds_of(count, special=0):
    marked = np.arange(count) >= count - special
    return {"text": ~marked, "thinking": np.zeros(count, dtype=bool), "special": marked}


def sizes(slices, response, kinds):
    return {name: int(tokens.sum()) for name, tokens in slices.of(response, kinds).items()}


def test_slices_of_a_response():
    slices = Slices([8, 16, 20], ["aime", "math"])
    response = response_of("p", length=18, correct=False, set="math")
    assert sizes(slices, response, kinds_of(18, special=1)) == {
        "all": 18,
        "text": 17,
        "special": 1,
        "wrong": 18,
        "position 1-8": 8,
        "position 9-16": 8,
        "position 17-20": 2,
        "set math": 18,
    }
    assert set(sizes(slices, response, kinds_of(18))) < set(slices.names)


def test_names_are_in_the_order_of_the_tables():
    assert Slices([8, 12], ["a", "b"]).names == [
        *("all", "correct", "wrong", "text", "thinking", "special"),
        *("position 1-8", "position 9-12", "set a", "set b"),
    ]


def test_one_set_is_no_slice_and_a_problem_without_answer_neither_correct_nor_wrong():
    found = sizes(Slices([8], ["math"]), response_of("p", length=3, set="math"), kinds_of(3))
    assert found == {"all": 3, "text": 3, "position 1-8": 3}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_new_tokens": 48}, [8, 16, 32, 48]),
        ({"max_new_tokens": 64}, [8, 16, 32, 64]),
        ({"max_new_tokens": 5}, [5]),
        ({"max_new_tokens": 7168}, [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 7168]),
        ({"max_new_tokens": 100, "position_edges": [1, 10]}, [1, 10, 100]),
        ({"max_new_tokens": 10, "position_edges": [1, 10, 100]}, [1, 10]),
    ],
)
def test_edges(settings, expected):
    assert Analysis(**settings).edges == expected


@given(st.integers(1, 200), st.lists(st.integers(1, 250), min_size=1, unique=True).map(sorted))
def test_kinds_and_positions_each_share_out_the_tokens(count, edges):
    settings = Analysis(max_new_tokens=200, position_edges=edges)
    found = sizes(Slices(settings.edges, ["one"]), response_of("p", length=count), kinds_of(count, special=1))
    assert sum(found.get(kind, 0) for kind in KINDS) == count
    assert sum(size for name, size in found.items() if name.startswith("position")) == count

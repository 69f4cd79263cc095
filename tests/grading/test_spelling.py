"""What is taken off an answer or spelled anew before the parser reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.grading import Grader
from bupo.grading.bases import numeral, same_numeral
from bupo.grading.decoration import Plain, has_variable, undecorated
from bupo.grading.screen import cut, depth, is_explosive, is_unfinished
from bupo.grading.spelling import both_signs, respelled


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\$32,\!348", Plain("32,348")),
        (r"5.4 \text{ cents}", Plain("5.4", unit="cent^1")),
        (r"864 \mbox{ inches}^2", Plain("864", unit="in^2")),
        (r"15\,\mathrm{cm}^2", Plain("15", unit="cm^2")),
        (r"24 \text{ square feet}", Plain("24", unit="ft^2")),
        (r"42\text{ square units}", Plain("42")),
        (r"15000 \text{ kcal m}^{-2} \text{yr}^{-1}", Plain("15000")),
        ("12 km", Plain("12", unit="km^1")),
        ("3 dollars.", Plain("3", unit="dollar^1")),
        (r"62.5\%", Plain("62.5", percent=True)),
        (r"\text{75\%}", Plain("75", percent=True)),
        ("12 percent", Plain("12", percent=True)),
        (r"1950^\circ C", Plain("1950")),
        (r"0.003^{\prime \prime}", Plain("0.003")),
        (r"90^\circ", Plain(r"90^\circ")),
        (r"7 \text{ and } 4", Plain(r"7 \text{ and } 4")),
        ("7 and 4", Plain("7 and 4")),
        (r"n \text{ is even}", Plain(r"n \text{ is even}")),
        (r"\frac{1}{\sqrt{2}}c", Plain(r"\frac{1}{\sqrt{2}}c")),
        ("3 ab", Plain("3 ab")),
        ("5 m", Plain("5 m")),
        (r"\text{(C)}", Plain(r"\text{(C)}")),
    ],
)
def test_decoration(text: str, plain: Plain):
    assert undecorated(text) == plain


def test_a_bare_letter_is_a_unit_where_the_gold_has_no_variable():
    assert undecorated("5 m", letters_are_units=True) == Plain("5", unit="m^1")
    assert has_variable("5x") and has_variable(r"\frac{a}{2}") and not has_variable(r"\frac{\pi}{2} cm")
    with Grader() as grader:
        assert grader.grade_answer("5", "5 m").correct and not grader.grade_answer("5m", "5").correct


def test_units_count_where_both_are_known():
    with Grader() as grader:
        assert grader.grade_answer(r"15\text{ cm}^2", r"15 \text{ square centimeters}").correct
        assert not grader.grade_answer(r"15\text{ cm}^2", r"15\text{ cm}").correct
        assert grader.grade_answer(r"15\text{ apples}", r"15\text{ pears}").correct
        assert grader._child.pid is None


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        (r"\big(2,4\bigr)", "(2,4)"),
        (r"\left[1,\;2\right)", "[1, 2)"),
        (r"30°", r"30^\circ"),
        ("4.5e33", r"4.5 \times 10^{33}"),
        ("1e-5", r"1 \times 10^{-5}"),
        ("2e", "2e"),
        (r"\frac{1}{15}\cos 2t", r"\frac{1}{15}\cos(2t)"),
        (r"\sin 30^\circ", r"\sin(\frac{30\pi}{180})"),
        (r"x^12+y^n", "x^{12}+y^{n}"),
        (r"1 \\[2pt] 2", r"1 \\ 2"),
        (r"a \text{ or } b", "a ,  b"),
    ],
)
def test_spelling(text: str, spelled: str):
    assert "".join(respelled(text).split()) == "".join(spelled.split())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (r"1 \pm 2", "1 + 2, 1 - 2"),
        (r"\pm 3", "3, - 3"),
        (r"0, \pm 3", "0, 3, - 3"),
        (r"\{1\pm\sqrt{5},-2\}", r"\{1+ \sqrt{5}, 1- \sqrt{5}, -2\}"),
        (r"\pm 1 \pm 2", "1 + 2, 1 - 2, - 1 + 2, - 1 - 2"),
        (r"1 \pm 2 \mp 3", "1 + 2 - 3, 1 - 2 + 3"),
        (r"\pm \pm \pm \pm 1", r"\pm \pm \pm \pm 1"),
        ("1 + 2", "1 + 2"),
    ],
)
def test_both_signs(text: str, values: str):
    assert "".join(both_signs(text).split()) == "".join(values.split())


def test_numerals():
    assert numeral("2516_8") == numeral("2516_{8}") == numeral(r"(2516)_{\text{8}}") == ("2516", 8)
    assert numeral(r"\text{4343}_6") == ("4343", 6) and numeral("0101_2") == ("101", 2)
    for other in ("2516", "9_8", "x_1", "12_1", "12_40", "a_n", "3_2_1"):
        assert numeral(other) is None, other
    assert same_numeral("52_8", "52") is True and same_numeral("52_8", "52_9") is False
    assert same_numeral("1F_{16}", "1f_{16}") is True and same_numeral("52", "52") is None


def test_bounds_of_the_screen():
    assert depth("(((1)))") == 3 and depth(")))(") == 1
    assert cut("a=(b=c)=d", "=") == ["a", "(b=c)", "d"]
    assert is_explosive("9^{9^9}") and not is_explosive("2^{2^{4}}") and not is_explosive("2^{3^2}")
    assert is_unfinished("5", r"\int_0^5 1 dx") and not is_unfinished("5", r"\sum_{k=1}^{2} k = 5")
    assert not is_unfinished(r"\sum_{n} \frac{1}{n!}", r"\sum_{n} \frac{1}{n!}")


@given(st.text(alphabet="0123456789+-*/^_{}()[]\\,.$%= abcdefxyzpimfrstqo°\n", max_size=80))
def test_any_text_is_taken(text: str):
    plain = undecorated(text, letters_are_units=True)
    assert isinstance(respelled(plain.text), str) and undecorated(plain.text).text is not None
    numeral(text)

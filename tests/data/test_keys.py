"""Keys: copies of a problem fall together, other problems do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.data.keys import exact_key, has_picture, letters_key, marks, without_pictures

SAME = [
    (r"Find $17_b$.", r"Find \( 17_{b} \)"),
    (r"$\dfrac{1}{2}$", r"\frac{1}{2}"),
    (r"\left( 3, x \right)", r"(3,x)"),
    ("What is 1 + 1?", "What is $1+1$"),
    ("a − b", "a - b"),
    (r"\frac 12 \quad x", r"\frac12x"),
]
DIFFERENT = [
    ("3 + 4", "3 - 4"),
    ("3.5", "35"),
    ("5!", "5"),
    ("2:1", "21"),
    ("Find A", "Find a"),
    ("x < 3", "x > 3"),
    (r"\quadratic", "ratic"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_spelling_does_not_matter(first, second):
    assert exact_key(first) == exact_key(second)
    assert letters_key(first) == letters_key(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_meaning_does(first, second):
    assert exact_key(first) != exact_key(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("3 + 4", "3 - 4"),
        ("3.5 apples", "35 apples"),
        ("mod 8", "mod 9"),
        ("x - y", "x + y"),
        ("x < 3", "x > 3"),
    ],
)
def test_marks_tell_lookalikes_apart(first, second):
    assert marks(first) != marks(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("1,000 men", "1000 men"), ("x-axis", "x axis"), ("1{,}000", "1000"), ("$2+3$", "2 + 3")],
)
def test_marks_see_through_spelling(first, second):
    assert marks(first) == marks(second)


def test_drawings():
    for drawing in ("[asy]\ndraw(1);\n[/asy]", r"\begin{tikzpicture}\draw;\end{tikzpicture}"):
        text = f"Find the area. {drawing} In units."
        assert has_picture(text)
        assert without_pictures(text).split() == ["Find", "the", "area.", "In", "units."]
    assert not has_picture("an [asy] without end")


@given(st.text(max_size=80))
def test_equal_texts_have_equal_letters(text):
    assert letters_key(text) == letters_key(f"  {text}\n")
    assert exact_key(text) == exact_key(text.replace(" ", "  "))

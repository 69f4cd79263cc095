r"""Gold answers: what upstream meant, repaired and counted, or refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.data.golds import last_boxes, normalise_gold

FIELD = [
    ("025", "25", "leading_zeros"),
    ("000", "0", "leading_zeros"),
    ("-007", "-7", "leading_zeros"),
    (27.0, "27", "float_zeros"),
    ("27.0", "27", "float_zeros"),
    (r"336^\circ", "336", "degrees"),
    (r"22\frac{1}{2}^{\circ}", r"22\frac{1}{2}", "degrees"),
    ("30°", "30", "degrees"),
    ("$a+4$", "a+4", "dollar_signs"),
    ("$-5$ or $3$", "-5 or 3", "dollar_signs"),
    ("$87.50", "87.50", "currency_sign"),
    (r"\$ 1,500", "1,500", "currency_sign"),
    ("\x0crac{1}{2}", r"\frac{1}{2}", "eaten_backslash"),
    ("-\\frac{5}{3}.", r"-\frac{5}{3}", "trailing_period"),
    ("\\[\n\\boxed{2, 3, 7}\n\\]", "2, 3, 7", "box"),
    (r"\(\boxed{337}\)", "337", "box"),
    ("\\[\n\\frac{16}{5}\n\\]", r"\frac{16}{5}", "math_mode"),
    ("{17}", "17", "braces"),
    (["9.6\n"], "9.6", "list"),
    (["0.01\n", "0.02\n"], "0.01", "alternatives_first_taken"),
]


@pytest.mark.parametrize(("given_value", "right", "repair"), FIELD)
def test_repairs_of_answer_fields(given_value, right, repair):
    gold = normalise_gold(given_value)
    assert (gold.answer, gold.reason) == (right, "")
    assert gold.repairs[repair] >= 1


@pytest.mark.parametrize(
    "answer",
    [
        "4:40 a.m.",
        "614.519...",
        r"\frac{1}{2}",
        "0.5",
        "0",
        "05\\!:\\!00",
        "(2,3)",
        "x=5",
        "1.50",
        "100",
        r"5\%",
        "p.m.",
    ],
)
def test_what_must_stay(answer):
    gold = normalise_gold(answer)
    assert gold.answer == answer
    assert not gold.repairs


@pytest.mark.parametrize(
    "nothing", [None, "", "  \n", float("nan"), [], [None, " "], "$$", r"\[\]", r"\boxed{}"]
)
def test_no_answer_is_refused(nothing):
    gold = normalise_gold(nothing)
    assert (gold.answer, gold.reason) == ("", "no answer")


BOXES = [
    (r"so $\boxed{2}$.", "2", False),
    (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}", False),
    (r"first \boxed{1}, then finally $\boxed{2}$", "2", False),
    (r"the answer is $\boxed 2$.", "2", False),
    (r"we get $\boxed\frac{3}{4}$", r"\frac{3}{4}", False),
    (r"$\fbox{C}$", "C", False),
    (r"$\boxed{\{1,2\}}$", r"\{1,2\}", False),
    (r"$x = \boxed{30^\circ}$ or $\boxed{150^\circ}.$", r"30^\circ, 150^\circ", True),
    (r"\boxed{1} and \boxed{1}", "1", False),
    (r"outer \boxed{a \boxed{b}}", r"a \boxed{b}", False),
]


@pytest.mark.parametrize(("solution", "content", "several"), BOXES)
def test_last_boxes(solution, content, several):
    assert last_boxes(solution) == (content, several)


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("no box at all", "no closed box in the solution"),
        (r"\boxed{1} but then \boxed{2", "no closed box in the solution"),
        (r"so there are $\boxed{}$ primes", "the last box is empty"),
    ],
)
def test_solutions_without_an_answer(solution, reason):
    assert normalise_gold(solution, "box").reason == reason


def test_hashes():
    assert normalise_gold("She has <<9*2=18>>18.\n#### 2,125", "hashes").answer == "2,125"
    assert normalise_gold("no mark", "hashes").reason == "no #### in the solution"


ANSWER = st.lists(
    st.one_of(
        st.text(alphabet="0123456789.-$\\{}^() x,%", max_size=6),
        st.sampled_from(
            [r"\boxed{", r"^\circ", r"\frac{1}{2}", "$", r"\$", ".", "00", ".0", "\x0crac", "{", "}", r"\["]
        ),
    ),
    max_size=6,
).map("".join)


@given(ANSWER)
def test_normalising_twice_is_normalising_once(text):
    once = normalise_gold(text)
    if once.answer:
        twice = normalise_gold(once.answer)
        assert twice.answer == once.answer
        assert not twice.repairs


@given(st.one_of(ANSWER, st.integers(), st.floats(), st.none(), st.lists(ANSWER, max_size=3)))
def test_every_value_gives_an_answer_or_a_reason(value):
    gold = normalise_gold(value)
    assert bool(gold.answer) != bool(gold.reason)

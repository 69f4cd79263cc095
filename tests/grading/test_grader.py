"""What becomes of a response: status, the rules, votes, readings, the paths without a parser."""

import pytest

from bupo.grading import STATUSES, Grader
from bupo.grading.integers import plain_integer
from bupo.grading.rationals import plain_number
from bupo.grading.strings import same_string


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


@pytest.mark.parametrize(
    ("response", "status", "detail"),
    [
        ("it is 12", "no_box", ""),
        (r"\boxed{12", "no_box", ""),
        (r"\boxed{12}", "correct", ""),
        (r"\boxed{13} no, \boxed{12}", "correct", ""),
        (r"\boxed{12} no, \boxed{13}", "wrong", ""),
        (r"\boxed{" + "1" * 401 + "}", "wrong", "too_long"),
        (r"\boxed{9^{9^{9}}}", "wrong", "refused"),
        (r"\boxed{\int_0^{12} 1 dx}", "wrong", "refused"),
        (r"\boxed{}", "wrong", "unreadable"),
        (r"\boxed{1+}", "wrong", "unreadable"),
    ],
)
def test_status_of_a_response(grader: Grader, response: str, status: str, detail: str):
    grade = grader.grade("12", response)
    assert (grade.status, grade.correct, grade.detail) == (status, status == "correct", detail)
    assert grade.status in STATUSES


def test_numbers_and_strings_start_no_child():
    with Grader() as grader:
        assert grader.grade("1234", r"\boxed{1,234}").correct
        assert not grader.grade("1234", r"\boxed{1,235}").correct
        assert grader.grade(r"\frac{1}{2}", r"\boxed{0.50}").correct
        assert not grader.grade(r"1\frac{4}{5}", r"\boxed{\frac{4}{5}}").correct
        assert grader.grade(r"15\mbox{ cm}^2", r"\boxed{15\text{ square centimeters}}").correct
        assert grader.grade("52_8", r"\boxed{52_{8}}").correct
        assert grader._child.pid is None
    with Grader("string") as grader:
        assert grader.grade(r"\frac{1}{2}", r"\boxed{\dfrac12}").correct
        assert grader._child.pid is None


def test_the_path_without_a_parser_agrees_with_the_parser(grader: Grader):
    texts = [
        "0",
        "7",
        "-7",
        "1,000",
        "1000",
        "007",
        "12.0",
        "99999999999",
        "0.5",
        r"\frac{1}{2}",
        "3/4",
        "-0.75",
    ]
    texts += [
        r"\frac{-3}{4}",
        r"-\frac34",
        "2.5",
        r"2\frac{1}{2}",
        r"\frac{1}{3}",
        "0.333333",
        "0.333",
        ".125",
    ]
    for gold in texts:
        for answer in texts:
            assert plain_number(gold) is not None and plain_number(answer) is not None
            fast = grader.grade_answer(gold, answer).correct
            assert fast == (grader._child.ask(gold, answer, 5.0)["status"] == "correct"), (gold, answer)


def test_numbers_are_read_as_people_write_them():
    for text, value in (
        ("1{,}234.5", "2469/2"),
        (r"\dfrac 12", "1/2"),
        (r"-1\frac{1}{2}", "-3/2"),
        ("+4", "4"),
    ):
        number = plain_number(text)
        assert number is not None and str(number.value) == value
    for text in ("", "1/0", r"\frac{1}{0}", "1.2.3", "12 cm", "x", "1,23", "1" * 300, "٣", "--1"):
        assert plain_number(text) is None, text
    assert plain_integer("1,234") == 1234


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        (r"\frac{1}{2}", r"\dfrac 12", True),
        (r"\frac{1}{2}", "0.5", True),
        (r"\frac{3}{4}", "3/4", True),
        (r"\left(1, 2\right)", "(1,2)", True),
        (r"5\text{ cm}", "5", True),
        (r"10\%", "10", True),
        (r"\$3.50", "3.50", True),
        ("1234", "1,234", True),
        ("(1,234)", "(1234)", False),
        (r"\sqrt2", r"\sqrt{2}", True),
        (r"x \leq 3", r"x\le3", True),
        ("k=5", "5", True),
        (r"\text{even}", "even", True),
        (r"90^\circ", "90", True),
        (r"\frac{3}{4}", "0.75", False),
        (r"2\sqrt{2}", r"\sqrt{8}", False),
        ("1,2", "2,1", False),
        ("", "", False),
        ("3", "4", False),
    ],
)
def test_string_rule(gold: str, answer: str, same: bool):
    assert same_string(gold, answer) is same


def test_votes_fall_together(grader: Grader):
    keys = {
        grader.grade_answer("7", answer).key for answer in (r"\frac{1}{2}", "0.5", "2/4", r"\frac{3}{3+3}")
    }
    assert keys == {"1/2"}
    assert grader.grade_answer("7", "8.0").key == grader.grade_answer("7", "8").key == "8"
    assert grader.grade("7", "nothing").key is None
    assert grader.grade_answer("7", "{").key is None


def test_readings_say_what_a_rule_made_of_an_answer(grader: Grader):
    assert grader.reading(r"0.5") == "1/2" and grader.reading(r"\sqrt{8}") == "2*sqrt(2)"
    assert grader.reading(r"(x-1)") == "x - 1" and grader.reading(r"\frac{1}{") is None
    assert Grader("string").reading(r"\dfrac12 \text{ cm}") == r"\frac{1}{2}"


def test_can_read(grader: Grader):
    assert grader.can_read("12") and grader.can_read(r"\frac{1}{2}") and grader.can_read("$x^2$")
    assert not grader.can_read(r"\frac{1}{") and not grader.can_read("")
    assert Grader("string").can_read(r"\frac{1}{") and not Grader("string").can_read("$ $")


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="regex"):
        Grader("regex")
    with pytest.raises(ValueError, match="-1"):
        Grader(limit_s=-1)

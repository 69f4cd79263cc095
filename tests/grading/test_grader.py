"""The two rules on pairs of answers, from the corpus and from the benchmarks' own gold answers."""

import json
from pathlib import Path

import pytest

from bupo.grading import Grader
from bupo.grading.strings import same_string

CORPUS = json.loads((Path(__file__).parent / "corpus.json").read_text())


@pytest.fixture(scope="module")
def grader():
    with Grader() as grader:
        yield grader


def test_equal_answers_are_correct(grader: Grader):
    wrong = [
        (gold, answer) for gold, answer in CORPUS["equal"] if not grader.grade_answer(gold, answer).correct
    ]
    assert wrong == []


def test_different_answers_are_wrong(grader: Grader):
    grades = {(gold, answer): grader.grade_answer(gold, answer) for gold, answer in CORPUS["different"]}
    assert [pair for pair, grade in grades.items() if grade.correct] == []
    assert {grade.status for grade in grades.values()} <= {"wrong", "unreadable"}


def test_verdicts_do_not_depend_on_order(grader: Grader):
    pairs = CORPUS["equal"][::4] + CORPUS["different"][::4]
    first = [grader.grade_answer(gold, answer) for gold, answer in pairs]
    with Grader() as other:
        again = [other.grade_answer(gold, answer) for gold, answer in reversed(pairs)]
    assert again[::-1] == first


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("it is 12", "no_box"),
        (r"\boxed{12", "no_box"),
        (r"\boxed{12}", "correct"),
        (r"\boxed{13} no, \boxed{12}", "correct"),
        (r"\boxed{12} no, \boxed{13}", "wrong"),
        (r"\boxed{" + "1" * 401 + "}", "too_long"),
        (r"\boxed{}", "unreadable"),
    ],
)
def test_status_of_a_response(grader: Grader, response: str, status: str):
    grade = grader.grade("12", response)
    assert (grade.status, grade.correct) == (status, status == "correct")


def test_integers_and_strings_start_no_child():
    with Grader() as grader:
        assert grader.grade("1234", r"\boxed{1,234}").correct
        assert not grader.grade("1234", r"\boxed{1,235}").correct
        assert grader._child.pid is None
    with Grader("string") as grader:
        assert grader.grade(r"\frac{1}{2}", r"\boxed{\dfrac12}").correct
        assert grader._child.pid is None


def test_integer_path_agrees_with_the_parser(grader: Grader):
    texts = ["0", "7", "-7", "1,000", "1000", "007", "12.0", "99999999999", "1{,}000"]
    for gold in texts:
        for answer in texts:
            fast = grader.grade_answer(gold, answer).correct
            plain = (gold.replace("{,}", ","), answer.replace("{,}", ","))
            assert fast == (grader._compare(*plain)[0] == "correct"), (gold, answer)


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
    keys = {grader.grade_answer("7", answer).key for answer in (r"\frac{1}{2}", "0.5", "2/4")}
    assert keys == {"1/2"}
    assert grader.grade_answer("7", "8.0").key == grader.grade_answer("7", "8").key == "8"
    assert grader.grade("7", "nothing").key is None


def test_can_read(grader: Grader):
    assert grader.can_read("12") and grader.can_read(r"\frac{1}{2}") and grader.can_read("$x^2$")
    assert not grader.can_read(r"\frac{1}{") and not grader.can_read("")
    assert Grader("string").can_read(r"\frac{1}{") and not Grader("string").can_read("$ $")


def test_every_gold_of_math500_is_read_and_equals_itself(grader: Grader, shared_data: Path):
    lines = (shared_data / "math500" / "hf_test.jsonl").read_text().splitlines()
    golds = [json.loads(line)["answer"] for line in lines]
    assert len(golds) == 500
    assert [gold for gold in golds if not grader.grade("" + gold, rf"\boxed{{{gold}}}").correct] == []
    assert [gold for gold in golds if not same_string(gold, gold)] == []
    assert [gold for gold in golds[::5] if not grader.can_read(gold)] == []


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="regex"):
        Grader("regex")
    with pytest.raises(ValueError, match="-1"):
        Grader(limit_s=-1)

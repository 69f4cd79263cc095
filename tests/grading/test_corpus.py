"""1,000 pairs of answers of every kind that the benchmarks have, and the benchmarks' own golds.

``corpus.tsv`` holds for each of 25 kinds 20 pairs that are equal and 20 that differ.
"""

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bupo.data.golds import normalise_gold
from bupo.grading import Grader
from bupo.grading.decoration import undecorated
from bupo.grading.spelling import respelled
from bupo.grading.strings import same_string

CORPUS = Path(__file__).parent / "corpus.tsv"
SETS = {
    "math500/hf_test.jsonl": 500,
    "amc23/qwen_test.jsonl": 40,
    "aime24/qwen_test.jsonl": 30,
    "aime25/oneshot_test.jsonl": 30,
}


def pairs() -> list[dict[str, str]]:
    with CORPUS.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def verdicts(rows: list[dict[str, str]], rule: str = "math_verify") -> list[bool]:
    with Grader(rule) as grader:
        return [grader.grade_answer(row["gold"], row["answer"]).correct for row in rows]


@pytest.fixture(scope="module")
def graded() -> list[bool]:
    return verdicts(pairs())


def golds(shared_data: Path, path: str) -> list[str]:
    rows = [json.loads(line) for line in (shared_data / path).read_text().splitlines()]
    return [normalise_gold(row["answer"]).answer for row in rows]


def test_the_corpus_holds_every_kind():
    rows = pairs()
    assert len(rows) == len({(row["gold"], row["answer"], row["relation"]) for row in rows}) == 1000
    counts = Counter((row["kind"], row["relation"]) for row in rows)
    assert set(counts.values()) == {20} and len(counts) == 50


def test_math_verify_is_right_on_99_percent(graded: list[bool]):
    odd = [
        (row["kind"], row["relation"], row["gold"], row["answer"])
        for row, correct in zip(pairs(), graded, strict=True)
        if correct != (row["relation"] == "equal")
    ]
    for relation in ("equal", "different"):
        assert sum(pair[1] == relation for pair in odd) <= 5, odd


def test_the_string_rule_takes_hardly_a_different_answer():
    rows = [row for row in pairs() if row["relation"] == "different"]
    assert sum(verdicts(rows, "string")) <= 5


def test_verdicts_hang_neither_on_order_nor_on_process(graded: list[bool]):
    rows = pairs()
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    again = verdicts([rows[place] for place in order[:400]])
    assert again == [graded[place] for place in order[:400]]


def test_verdicts_are_the_same_in_another_process_with_other_hashes(graded: list[bool]):
    program = "import sys; sys.path.insert(0, sys.argv[1]); import test_corpus as t; print(*map(int, t.verdicts(t.pairs()[::3])))"
    told = subprocess.run(
        [sys.executable, "-c", program, str(CORPUS.parent)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [bool(int(word)) for word in told.stdout.split()] == graded[::3]


@pytest.mark.parametrize("path", SETS)
def test_every_gold_of_the_four_benchmarks_equals_itself(shared_data: Path, path: str):
    answers = golds(shared_data, path)
    assert len(answers) == SETS[path]
    with Grader() as grader:
        assert [gold for gold in answers if not grader.grade(gold, rf"\boxed{{{gold}}}").correct] == []
        assert [gold for gold in answers if not grader.can_read(gold)] == []
        # The same by the parser alone, where an answer that is spelled like its gold takes no short way.
        spelled = {respelled(undecorated(gold).text) for gold in answers}
        assert [
            gold for gold in sorted(spelled) if grader._child.ask(gold, gold, 5.0)["status"] != "correct"
        ] == []
    assert [gold for gold in answers if not same_string(gold, gold)] == []

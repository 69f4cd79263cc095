"""What lm-eval calls: documents, the filter, the grading of all samples of a problem."""

from math import comb
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.errors import UserError
from bupo.evaluation.task import (
    agreement,
    document,
    last_boxes,
    load_benchmark,
    process_results,
    shared_grader,
)
from bupo.grading import RULES

PIECES = [
    *(
        "\\boxed{",
        "\\boxed ",
        "\\fboxed{",
        "{",
        "}",
        "\\",
        "\\ ",
        " ",
        "\n",
        "$",
        "\\frac{1}{2}",
        "\\{",
        "\\}",
    ),
    *("3", "x+1", "\\sqrt{2}", "0.5", "the answer is ", "50\\%", "\\text{no}"),
]


def doc(answer: str, grader: str = "math_verify") -> dict[str, str]:
    return document("x", [{"role": "user", "content": "?"}], answer, grader)


def test_all_repeats_are_scored():
    responses = [r"so \boxed{2}", r"\boxed{3}", r"\boxed{3}", "none"]
    result = process_results(doc("2"), last_boxes([responses], [doc("2")]))
    assert (result["avg"], result["maj"], result["no_box"]) == (0.25, 0.0, 0.25)
    statuses = [grade["math_verify"]["status"] for grade in result["grades"]]
    assert statuses == ["correct", "wrong", "wrong", "no_box"]


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_pass_at_every_k_up_to_n(right: list[bool]):
    n, wrong = len(right), right.count(False)
    responses = [r"\boxed{2}" if one else r"\boxed{3}" for one in right]
    result = process_results(doc("2"), [responses])
    found = {key: value for key, value in result.items() if key.startswith("pass_at_")}
    assert found == {f"pass_at_{k}": 1 - comb(wrong, k) / comb(n, k) for k in range(1, n + 1)}
    assert found["pass_at_1"] == pytest.approx(result["avg"])


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_the_last_box_has_the_grade_of_the_response(pieces: list[str]):
    response = "".join(pieces)
    ((box,),) = last_boxes([[response]], [])
    assert len(box) <= len(response) + 2
    for rule in RULES:
        grader = shared_grader(rule)
        assert grader.grade("3", box) == grader.grade("3", response)


def test_the_rule_of_the_document_counts():
    responses = [r"\boxed{0.75}", r"\boxed{\frac{3}{4}}"]
    results = {rule: process_results(doc(r"\frac{3}{4}", rule), [responses]) for rule in RULES}
    assert results["math_verify"]["avg"] == 1.0 and results["string"]["avg"] == 0.5
    assert results["math_verify"]["grades"] == results["string"]["grades"]
    assert agreement([results["string"]["grades"]]) == 0.5


def test_a_file_in_verls_schema_becomes_documents(tiny: Path):
    documents = load_benchmark(str(tiny / "benchmark.parquet"), grader="string", pretrained="a/model")["test"]
    assert len(documents) == 12
    assert documents[0] == {
        "id": "digits-0",
        "system": "",
        "user": "what is 0+0? tell me please",
        "answer": "0",
        "grader": "string",
    }
    assert documents[1]["system"] == "be brief\n"


def test_benchmarks_that_cannot_be_used_are_named(tiny: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"benchmark is 'no\.parquet'"):
        load_benchmark("no.parquet")
    with pytest.raises(UserError, match="benchmark is None"):
        load_benchmark()
    with pytest.raises(UserError, match="grader is 'mine'"):
        load_benchmark(str(tiny / "benchmark.parquet"), grader="mine")
    table = pd.read_parquet(tiny / "benchmark.parquet")
    pd.concat([table, table.iloc[3:4]]).to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(UserError, match="digits-3"):
        load_benchmark(str(tmp_path / "twice.parquet"))
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}]
    with pytest.raises(UserError, match=r"prompt of odd has the roles \['user', 'assistant'\]"):
        document("odd", chat, "4", "string")

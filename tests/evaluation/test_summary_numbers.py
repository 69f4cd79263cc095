"""``summary.json`` and ``disagreements.csv`` from graded samples."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.disagreements import disagreements, write_disagreements
from bupo.evaluation.summary import summarise
from bupo.grading import RULES, STATUSES, Grader

RESPONSES = {
    "a": (r"\frac{3}{4}", [r"\boxed{0.75}", r"\boxed{\frac34}", r"\boxed{0.75}", "none"]),
    "b": ("12", [r"\boxed{12}", r"\boxed{13}", r"\boxed{13}", r"\boxed{12.0}"]),
    "c": (r"2\sqrt{2}", [r"\boxed{\sqrt{8}}", r"\boxed{x}", "none", "none"]),
}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    rows = []
    with Grader("math_verify") as first, Grader("string") as second:
        for problem, (gold, responses) in RESPONSES.items():
            for sample, response in enumerate(responses):
                grades = dict(zip(RULES, (g.grade(gold, response) for g in (first, second)), strict=True))
                cut = problem == "c" and sample == 3
                status = {rule: "truncated" if cut else grade.status for rule, grade in grades.items()}
                head = grades["math_verify"]
                rows.append(
                    {"problem_id": problem, "sample": sample, "gold": gold, "correct": head.correct}
                    | {"status": status["math_verify"], "answer": head.answer, "key": head.key}
                    | {"n_tokens": 10 + sample, "finish_reason": "length" if cut else "stop"}
                    | {f"correct_{rule}": grade.correct for rule, grade in grades.items()}
                    | {f"status_{rule}": status[rule] for rule in RULES}
                )
    return pd.DataFrame(rows)


def settings(**more: object) -> EvaluationSettings:
    return EvaluationSettings(**{"samples": 4, "max_new_tokens": 64, "pass_at_k": [1, 2, 4], **more})


def test_numbers_of_a_summary(scores: pd.DataFrame):
    told = summarise(scores, settings())
    assert (told["n_problems"], told["n_samples"], told["level"]) == (3, 4, 0.95)
    assert told["avg_at_n"]["value"] == pytest.approx((3 + 2 + 1) / 12)
    assert told["avg_at_n"] == told["pass_at_k"]["1"] and told["pass_at_k"]["4"]["value"] == 1.0
    assert told["pass_at_k"]["2"]["value"] == pytest.approx((1 + 5 / 6 + 1 / 2) / 3)
    assert (
        told["maj_at_n"]["value"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3) == told["maj_at_k"]["4"]["value"]
    )
    assert told["maj_at_k"]["1"]["value"] == pytest.approx(told["avg_at_n"]["value"], abs=0.06)
    for number in (
        told["avg_at_n"],
        told["maj_at_n"],
        *told["pass_at_k"].values(),
        *told["maj_at_k"].values(),
    ):
        assert 0 <= number["low"] <= number["value"] <= number["high"] <= 1
        assert 0 <= number["decoding_low"] <= number["value"] <= number["decoding_high"] <= 1


def test_what_the_responses_were_like(scores: pd.DataFrame):
    told = summarise(scores, settings())
    assert told["truncated_share"] == 1 / 12 and told["no_box_share"] == 3 / 12
    assert told["grader_timeout_share"] == 0.0 and told["mean_tokens"] == pytest.approx(11.5)
    assert told["status_counts"] == dict(zip(STATUSES, (6, 3, 2, 1, 0), strict=True))
    assert told["status_counts_by_grader"]["string"]["correct"] == 3
    assert told["avg_by_grader"] == {"math_verify": 0.5, "string": 0.25}
    assert told["grader_disagreements"] == 3 and told["grader"] == "math_verify"


def test_the_headline_follows_the_grader_and_the_level_the_settings(scores: pd.DataFrame):
    wide = summarise(scores, settings(bootstrap={"level": 0.99}))["avg_at_n"]
    usual = summarise(scores, settings())["avg_at_n"]
    assert wide["low"] < usual["low"] and wide["high"] > usual["high"]
    assert summarise(scores, settings(grader="string"))["grader"] == "string"


def test_disagreements_show_both_readings(scores: pd.DataFrame, tmp_path: Path):
    table = disagreements(scores)
    assert table[["gold", "answer", "samples", "problem_id", "sample"]].to_numpy().tolist() == [
        [r"\frac{3}{4}", "0.75", 2, "a", 0],
        [r"2\sqrt{2}", r"\sqrt{8}", 1, "c", 0],
    ]
    first, second = table.to_dict("records")
    assert first["correct_math_verify"] and not first["correct_string"]
    assert (first["gold_read_math_verify"], first["answer_read_math_verify"]) == ("3/4", "3/4")
    assert (first["gold_read_string"], first["answer_read_string"]) == (r"\frac{3}{4}", "0.75")
    assert second["gold_read_math_verify"] == second["answer_read_math_verify"] == "2*sqrt(2)"
    write_disagreements(scores, tmp_path)
    assert len(pd.read_csv(tmp_path / "disagreements.csv")) == 2


def test_graders_that_agree_leave_a_header(scores: pd.DataFrame, tmp_path: Path):
    agreed = scores[scores["problem_id"] == "b"]
    write_disagreements(agreed, tmp_path)
    lines = (tmp_path / "disagreements.csv").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith("gold,answer,samples")


def test_many_samples_are_summarised_in_moments():
    """500 problems of 64 samples: no step is quadratic in the samples."""
    rng = np.random.default_rng(0)
    right = rng.random((500, 64)) < 0.5
    table = pd.DataFrame(
        {"problem_id": np.repeat([f"p{i:03d}" for i in range(500)], 64), "sample": np.tile(range(64), 500)}
    )
    table["correct"] = right.ravel()
    table["key"] = np.where(table["correct"], "1", rng.integers(2, 6, len(table)).astype(str))
    table["status"] = np.where(table["correct"], "correct", "wrong")
    table = table.assign(answer=table["key"], finish_reason="stop", n_tokens=5)
    for rule in RULES:
        table[f"correct_{rule}"], table[f"status_{rule}"] = table["correct"], table["status"]
    told = summarise(table, settings(samples=64, pass_at_k=[1, 8, 64]))
    assert told["avg_at_n"]["value"] == pytest.approx(right.mean())
    assert told["avg_at_n"]["high"] - told["avg_at_n"]["low"] < 0.02

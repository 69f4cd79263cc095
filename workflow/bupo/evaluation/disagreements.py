"""Answers that the two grading rules score differently, with what each rule made of them, for review."""

from pathlib import Path
from typing import Any

from bupo.evaluation.summary import disagreeing
from bupo.files import atomic_path
from bupo.grading import RULES, Grader

FILE = "disagreements.csv"
COLUMNS = (
    *("gold", "answer", "samples", "problem_id", "sample"),
    *(f"{what}_{rule}" for rule in RULES for what in ("correct", "gold_read", "answer_read")),
)


def write_disagreements(scores: Any, folder: Path) -> None:
    """Write ``disagreements.csv`` beside the scores: one row for each pair of gold and answer.

    Args:
        scores: table with problem_id, sample, gold, answer, and correct_<rule> of each grading rule.
        folder: of the evaluation.
    """
    table = disagreements(scores)
    with atomic_path(folder / FILE) as temporary:
        table.to_csv(temporary, index=False)


def disagreements(scores: Any) -> Any:
    """The rows of ``disagreements.csv``, the most frequent pairs first.

    Returns:
        A table with the gold and the answer as they are, how many samples have the pair, the first of them
        (problem_id, sample), and for each rule its verdict (``correct_<rule>``) and its readings of both
        (``gold_read_<rule>``, ``answer_read_<rule>``; None where it reads nothing).
    """
    import pandas as pd

    rows = scores[disagreeing(scores)].sort_values(["problem_id", "sample"])
    groups = rows.groupby(["gold", "answer"], sort=False)
    found = []
    with Grader("math_verify") as by_value, Grader("string") as by_string:
        graders = dict(zip(RULES, (by_value, by_string), strict=True))
        for (gold, answer), same in groups:
            row = {"gold": gold, "answer": answer, "samples": len(same)}
            row |= {"problem_id": same.iloc[0]["problem_id"], "sample": int(same.iloc[0]["sample"])}
            for rule, grader in graders.items():
                row[f"correct_{rule}"] = bool(same.iloc[0][f"correct_{rule}"])
                row[f"gold_read_{rule}"] = grader.reading(gold)
                row[f"answer_read_{rule}"] = grader.reading(answer)
            found.append(row)
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return table.sort_values("samples", ascending=False, kind="stable", ignore_index=True)

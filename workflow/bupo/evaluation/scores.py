"""``scores.parquet``: one row for each sample, with what every rule says of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from bupo.evaluation.sampling import Sample
from bupo.grading import RULES

SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int64()),
        ("correct", pa.bool_()),
        ("status", pa.string()),
        ("answer", pa.string()),
        ("key", pa.string()),
        ("gold", pa.string()),
        ("n_tokens", pa.int64()),
        ("finish_reason", pa.string()),
        *((f"correct_{rule}", pa.bool_()) for rule in RULES),
        *((f"status_{rule}", pa.string()) for rule in RULES),
        *((f"detail_{rule}", pa.string()) for rule in RULES),
    ]
)


def score_table(documents: Sequence[Mapping[str, Any]], samples: Sequence[Sample], grader: str) -> pa.Table:
    """The rows of some problems, in the order of problems and samples.

    Args:
        documents: lm-eval's records of the problems, with ``grades``: for each sample what each rule says.
        samples: of these problems.
        grader: rule of the columns ``correct``, ``status`` and ``key``.
    """
    by_key = {(sample.problem_id, sample.sample): sample for sample in samples}
    rows = []
    for document in documents:
        for number, grades in enumerate(document["grades"]):
            sample = by_key[document["doc"]["id"], number]
            status = {rule: status_of(grades[rule], sample) for rule in RULES}
            rows.append(
                {
                    "problem_id": sample.problem_id,
                    "sample": number,
                    "correct": grades[grader]["correct"],
                    "status": status[grader],
                    "answer": grades[grader]["answer"],
                    "key": grades[grader]["key"],
                    "gold": document["doc"]["answer"],
                    "n_tokens": sample.n_tokens,
                    "finish_reason": sample.finish_reason,
                    **{f"correct_{rule}": grades[rule]["correct"] for rule in RULES},
                    **{f"status_{rule}": status[rule] for rule in RULES},
                    **{f"detail_{rule}": grades[rule]["detail"] for rule in RULES},
                }
            )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def status_of(grade: Mapping[str, Any], sample: Sample) -> str:
    """The status of a grade; without a box where the response was cut off it is ``truncated``."""
    cut_off = sample.finish_reason == "length" and grade["status"] == "no_box"
    return "truncated" if cut_off else grade["status"]

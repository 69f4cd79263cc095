"""What lm-eval calls: a benchmark's problems, and the grading of all samples of one problem.

``tasks/bupo_benchmark.yaml`` names these functions, so lm-eval's own command line runs them as well as ours.
"""

import atexit
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.evaluation.statistics import majority, pass_at_k
from bupo.grading import RULES, Grader

if TYPE_CHECKING:
    import datasets

TASK = "bupo_benchmark"
TASK_DIRECTORY = Path(__file__).parent / "tasks"
POWERS = tuple(2**exponent for exponent in range(9))  # the k that the task file declares: 1, 2, 4 ... 256


def load_benchmark(
    benchmark: str | None = None, grader: str = "math_verify", **_: Any
) -> "datasets.DatasetDict":
    """A benchmark in verl's schema as lm-eval's documents.

    Args:
        benchmark: the parquet file; on lm-eval's command line ``--metadata '{"benchmark": "..."}'``.
        grader: rule of the scores, ``math_verify`` or ``string``.
        _: lm-eval also passes the model's arguments.

    Raises:
        ValueError: if there is no such file, an id is there twice, or a prompt is not one user message after
            at most one system message.
    """
    import datasets
    import pandas as pd

    if benchmark is None or not Path(benchmark).is_file():
        raise ValueError(
            f"benchmark is {benchmark!r}; a parquet file in verl's schema would be right "
            """(--metadata '{"benchmark": "results/demo/data/verl/tiny_qwen3/NAME.parquet"}')"""
        )
    if grader not in RULES:
        raise ValueError(f"grader is {grader!r}; one of {', '.join(RULES)} would be right")
    table = pd.read_parquet(benchmark)
    documents = [document(row, grader) for row in table.to_dict("records")]
    twice = [name for name, count in Counter(doc["id"] for doc in documents).items() if count > 1]
    if twice:
        raise ValueError(
            f"{benchmark}: the id {twice[0]!r} is there more than once; ids that differ would be right"
        )
    return datasets.DatasetDict({"test": datasets.Dataset.from_list(documents)})


def document(row: Mapping[Any, Any], grader: str) -> dict[str, str]:
    """One row of verl's schema, flat: id, system and user message, gold answer, rule."""
    messages = [dict(message) for message in row["prompt"]]
    roles = [message["role"] for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise ValueError(f"the prompt has roles {roles}; [system, user] or [user] would be right")
    extra = row["extra_info"]
    return {
        "id": str(extra["id"]),
        "problem": str(extra["problem"]),
        "answer": str(row["reward_model"]["ground_truth"]),
        "system": messages[0]["content"] if len(messages) == 2 else "",
        "user": messages[-1]["content"],
        "grader": grader,
    }


@cache
def shared_grader(rule: str) -> Grader:
    """The grader of this process for a rule."""
    grader = Grader(rule)
    atexit.register(grader.close)
    return grader


def keep_all(responses: list[list[str]], _documents: Any) -> list[list[str]]:
    """Filter that keeps every repeat (lm-eval's default keeps the first)."""
    return [list(repeats) for repeats in responses]


def process_results(doc: dict[str, str], results: list[list[str]]) -> dict[str, Any]:
    """Grade all samples of one problem by both rules; the numbers come from the document's rule.

    Returns:
        avg, maj, every pass_at_k with k a power of two up to the number of samples, the share without a box,
        and ``grades``: for each sample what each rule says (declared in the task file, since lm-eval
        aggregates whatever is returned).
    """
    (responses,) = results
    grades = [
        {rule: vars(shared_grader(rule).grade(doc["answer"], response)) for rule in RULES}
        for response in responses
    ]
    headline = [grade[doc["grader"]] for grade in grades]
    n, correct = len(headline), sum(grade["correct"] for grade in headline)
    return {
        "avg": correct / n,
        "maj": majority([grade["key"] for grade in headline], [grade["correct"] for grade in headline]),
        "no_box": sum(grade["status"] == "no_box" for grade in headline) / n,
        **{f"pass_at_{k}": pass_at_k(n, correct, k) for k in POWERS if k <= n},
        "grades": grades,
    }


def agreement(rows: list[list[dict[str, dict[str, Any]]]]) -> float:
    """lm-eval wants a number of every key: for ``grades``, how often the two rules agree."""
    verdicts = [{grade[rule]["correct"] for rule in RULES} for row in rows for grade in row]
    return sum(len(verdict) == 1 for verdict in verdicts) / max(1, len(verdicts))

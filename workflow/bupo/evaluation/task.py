"""What lm-eval calls for every task: a benchmark's problems, and the grading of all samples of one problem.

The files of ``tasks/`` name these functions, so lm-eval's own command line runs them as well as ours.
"""

import atexit
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.evaluation.statistics import majority, pass_at_k
from bupo.grading import RULES, Grader, last_boxed

if TYPE_CHECKING:
    import datasets

TASK = "bupo_benchmark"
TASK_DIRECTORY = Path(__file__).parent / "tasks"

Document = dict[str, str]


def load_benchmark(
    benchmark: str | None = None, grader: str = "math_verify", **_: Any
) -> "datasets.DatasetDict":
    """A benchmark in verl's schema as lm-eval's documents.

    Args:
        benchmark: the parquet file; on lm-eval's command line ``--metadata '{"benchmark": "..."}'``.
        grader: rule of the scores, ``math_verify`` or ``string``.
        _: lm-eval also passes the model's arguments.

    Raises:
        UserError: there is no such file, an id is there twice, or a prompt is not one user message after at
            most one system message.
    """
    import pandas as pd

    if benchmark is None or not Path(benchmark).is_file():
        raise UserError(
            f"benchmark is {benchmark!r}; a parquet file in verl's schema would be right "
            """(--metadata '{"benchmark": "results/demo/data/verl/tiny_qwen3/NAME.parquet"}')."""
        )
    rows = pd.read_parquet(benchmark).to_dict("records")
    documents = [
        document(row["extra_info"]["id"], row["prompt"], row["reward_model"]["ground_truth"], grader)
        for row in rows
    ]
    return as_dataset(documents, benchmark)


def document(problem_id: str, prompt: Sequence[Mapping[str, str]], answer: str, grader: str) -> Document:
    """A problem as lm-eval's document: id, system message ("" for none), user message, gold answer, rule."""
    roles = [message["role"] for message in prompt]
    if roles not in (["user"], ["system", "user"]):
        raise UserError(
            f"the prompt of {problem_id} has the roles {roles}; [system, user] or [user] would be right."
        )
    if grader not in RULES:
        raise UserError(f"grader is {grader!r}; one of {', '.join(RULES)} would be right.")
    system = prompt[0]["content"] if len(roles) == 2 else ""
    return {
        "id": str(problem_id),
        "system": system,
        "user": prompt[-1]["content"],
        "answer": str(answer),
        "grader": grader,
    }


def as_dataset(documents: list[Document], where: str) -> "datasets.DatasetDict":
    """Documents as the split ``test``, which the task files name."""
    import datasets

    twice = [name for name, count in Counter(doc["id"] for doc in documents).items() if count > 1]
    if twice:
        raise UserError(
            f"{where}: the id {twice[0]!r} is there more than once; ids that differ would be right."
        )
    return datasets.DatasetDict({"test": datasets.Dataset.from_list(documents)})


@cache
def shared_grader(rule: str) -> Grader:
    """The grader of this process for a rule."""
    grader = Grader(rule)
    atexit.register(grader.close)
    return grader


def last_boxes(responses: Sequence[Sequence[str]], _documents: Any) -> list[list[str]]:
    r"""Filter that keeps every repeat (lm-eval's default keeps the first), each cut down to its last box.

    The grade of ``\boxed{...}`` alone is that of the whole response; lm-eval's log of samples holds what a
    filter returns beside the texts, and so holds the texts once.
    """
    return [[_box(text) for text in repeats] for repeats in responses]


def _box(response: str) -> str:
    answer = last_boxed(response)
    if answer is None:
        return ""
    space = " " if answer.endswith("\\") else ""  # or the last backslash would escape the brace
    return f"\\boxed{{{answer}{space}}}"


def process_results(doc: Document, results: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Grade all samples of one problem by both rules; the numbers come from the document's rule.

    Returns:
        avg, maj, the share without a box, pass_at_1 to pass_at_n for n samples, and ``grades``: for each
        sample what each rule says (declared in the task file, since lm-eval aggregates whatever is returned).
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
        **_pass_at_every_k(n, correct),
        "grades": grades,
    }


@cache
def _pass_at_every_k(n: int, correct: int) -> dict[str, float]:
    return {f"pass_at_{k}": pass_at_k(n, correct, k) for k in range(1, n + 1)}


def agreement(rows: list[list[dict[str, dict[str, Any]]]]) -> float:
    """lm-eval wants a number of every key: for ``grades``, how often the two rules agree."""
    verdicts = [{grade[rule]["correct"] for rule in RULES} for row in rows for grade in row]
    return sum(len(verdict) == 1 for verdict in verdicts) / max(1, len(verdicts))

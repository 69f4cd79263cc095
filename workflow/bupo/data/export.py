"""The normal form -> verl's parquet: prompts and ground truths, without leaked and unusable rows."""

from collections import Counter
from pathlib import Path
from typing import Any

from bupo.data.normal import Problem
from bupo.data.prompts import Prompt
from bupo.errors import UserError
from bupo.files import atomic_path, read_json

Left = list[dict[str, str]]


def leaked_ids(contamination: str | Path) -> dict[str, str]:
    """Training ids to leave out -> the benchmark problem that each repeats, from ``contamination.json``."""
    leaks = read_json(contamination)["leaks"]
    return {leak["train_id"]: leak["benchmark_id"] for leak in leaks if leak["removed"]}


def usable(
    problems: list[Problem], leaked: dict[str, str], keep_unreadable: bool
) -> tuple[list[Problem], Left]:
    """Problems that may be used, and those left out with the reason.

    Args:
        leaked: what `leaked_ids` gave; empty for benchmarks.
        keep_unreadable: also use problems whose gold answer the grader's parser cannot read.
    """
    kept, left = [], []
    for problem in problems:
        if problem.id in leaked:
            left.append({"id": problem.id, "reason": f"leak of {leaked[problem.id]}"})
        elif problem.gold == "unreadable" and not keep_unreadable:
            left.append({"id": problem.id, "reason": "gold answer that the grader cannot read"})
        else:
            kept.append(problem)
    return kept, left


def within_length(
    problems: list[Problem], prompt: Prompt, tokenizer: Any, max_tokens: int
) -> tuple[list[Problem], Left]:
    """Problems whose whole prompt has at most ``max_tokens`` tokens of the model, and those left out."""
    kept, left = [], []
    for problem in problems:
        length = len(prompt.encode(tokenizer, problem.problem))
        if length > max_tokens:
            left.append({"id": problem.id, "reason": f"prompt longer than {max_tokens} tokens"})
        else:
            kept.append(problem)
    return kept, left


def write_verl(problems: list[Problem], prompt: Prompt, split: str, path: str | Path) -> None:
    """Write problems in verl's schema; ``extra_info.index`` numbers them from 0.

    Raises:
        UserError: there are no problems left.
    """
    import pyarrow
    import pyarrow.parquet

    if not problems:
        raise UserError(f"{path}: no problem is left to write; at least one would be right.")
    text = pyarrow.string()
    schema = pyarrow.schema(
        {
            "data_source": text,
            "prompt": pyarrow.list_(pyarrow.struct({"role": text, "content": text})),
            "ability": text,
            "reward_model": pyarrow.struct({"style": text, "ground_truth": text}),
            "extra_info": pyarrow.struct(
                {"index": pyarrow.int64()}
                | dict.fromkeys(("split", "id", "problem", "answer", "subject", "level"), text)
            ),
        }
    )
    rows = [
        {
            "data_source": problem.source,
            "prompt": prompt.messages(problem.problem),
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": problem.answer},
            "extra_info": {
                "index": index,
                "split": split,
                "id": problem.id,
                "problem": problem.problem,
                "answer": problem.answer,
                "subject": problem.subject,
                "level": problem.level,
            },
        }
        for index, problem in enumerate(problems)
    ]
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(rows, schema=schema), temporary, compression="zstd"
        )


def account(problems: list[Problem], kept: list[Problem], left: Left, prompt_name: str) -> dict[str, Any]:
    """What export did, for its report."""
    return {
        "set": problems[0].source if problems else "",
        "prompt": prompt_name,
        "rows": len(problems),
        "kept": len(kept),
        "reasons": dict(
            Counter(
                row["reason"].split(" of ")[0] if row["reason"].startswith("leak") else row["reason"]
                for row in left
            ).most_common()
        ),
        "left_out": left,
    }

"""The problems that are analysed: read, drawn, and rendered as the prompts that the model was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bupo.errors import UserError
from bupo.files import sha256_text


@dataclass(frozen=True)
class Problem:
    """A problem as chat messages; ``gold`` is None where the file has no answer."""

    id: str
    messages: list[dict[str, str]]
    gold: str | None


def read_problems(path: Path) -> list[Problem]:
    """Read the verl schema (column ``prompt``) or a plain column ``problem`` from parquet, JSON lines or CSV.

    Gold answers come from ``reward_model.ground_truth`` or a column ``answer``; identities from
    ``extra_info.id`` or a column ``id``, else they are a hash of the prompt: never the row's place.

    Raises:
        UserError: the file is missing or empty, has neither column, or holds a problem twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; --problems names a parquet, JSON lines or CSV file.")
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": pd.read_parquet,
        ".jsonl": lambda p: pd.read_json(p, lines=True),
        ".csv": pd.read_csv,
    }
    if path.suffix not in readers:
        raise UserError(f"{path}: files end in {', '.join(readers)}, not {path.suffix!r}.")
    frame = readers[path.suffix](path)
    if "prompt" not in frame and "problem" not in frame:
        raise UserError(f"{path}: neither a column prompt (messages) nor a column problem (text) is there.")
    problems = [_problem({str(key): value for key, value in row.items()}) for row in frame.to_dict("records")]
    if not problems:
        raise UserError(f"{path}: the file holds no problem.")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise UserError(f"{path}: the problem {problem.id} is there twice; identities should differ.")
        seen.add(problem.id)
    return problems


def draw(problems: list[Problem], count: int | None, seed: int) -> list[Problem]:
    """``count`` problems at random (all where None), sorted by identity; the order given does not matter."""
    kept = sorted(problems, key=lambda problem: sha256_text(f"{seed}:{problem.id}"))[:count]
    return sorted(kept, key=lambda problem: problem.id)


def render(tokenizer: Any, problem: Problem, template: dict[str, Any]) -> list[int]:
    """Token ids of the prompt, up to where the response starts.

    The chat template writes its own special tokens, so that the tokenizer adds none: a second BOS would shift
    every state. Without a template the text goes in as it is, with the tokenizer's special tokens.
    """
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(
            problem.messages, tokenize=False, add_generation_prompt=True, **template
        )
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        ids = tokenizer("\n".join(message["content"] for message in problem.messages))["input_ids"]
    if not ids:
        raise UserError(f"problem {problem.id}: its prompt has no token.")
    return list(ids)


def _problem(row: dict[str, Any]) -> Problem:
    prompt = row.get("prompt")
    if prompt is None:
        prompt = row["problem"]
    messages = (
        [{"role": "user", "content": prompt}]
        if isinstance(prompt, str)
        else [{"role": str(m["role"]), "content": str(m["content"])} for m in prompt]
    )
    extra = row.get("extra_info")
    identity = (extra or {}).get("id") if isinstance(extra, dict) else None
    if identity in (None, ""):
        identity = row.get("id")
    if identity in (None, "") or pd.isna(identity):
        identity = sha256_text("\n".join(message["content"] for message in messages))[:16]
    reward = row.get("reward_model")
    gold = reward.get("ground_truth") if isinstance(reward, dict) else row.get("answer")
    known = gold is not None and not (isinstance(gold, float) and pd.isna(gold)) and str(gold) != ""
    return Problem(str(identity), messages, str(gold) if known else None)

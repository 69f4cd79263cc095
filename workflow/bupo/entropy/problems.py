"""The problems that are analysed: read, drawn, and rendered as the prompts that the model was trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import TemplateError

from bupo.errors import UserError
from bupo.files import sha256_text


@dataclass(frozen=True)
class Problem:
    """A problem as chat messages.

    Attributes:
        gold: None where the file has no answer.
        set: name of its file, without the ending.
    """

    id: str
    messages: list[dict[str, str]]
    gold: str | None
    set: str = ""


def drawn_problems(files: Sequence[Path], count: int | None, seed: int) -> list[Problem]:
    """``count`` problems of each file (all where None), sorted by set and identity.

    Raises:
        UserError: see `read_problems`; or two files have the same name, or share a problem.
    """
    sets: dict[str, list[Problem]] = {}
    owner: dict[str, Path] = {}
    for file in files:
        if file.stem in sets:
            raise UserError(f"{file}: another problem file is called {file.stem} too; names should differ.")
        sets[file.stem] = read_problems(file)
        for problem in sets[file.stem]:
            if owner.setdefault(problem.id, file) != file:
                raise UserError(
                    f"{file}: the problem {problem.id} is in {owner[problem.id]} too; one set should have it."
                )
    return [replace(problem, set=name) for name in sorted(sets) for problem in draw(sets[name], count, seed)]


def read_problems(path: Path) -> list[Problem]:
    """Read the verl schema (column ``prompt``) or a plain column ``problem`` from parquet, JSON lines or CSV.

    Gold answers come from ``reward_model.ground_truth`` or a column ``answer``; identities from
    ``extra_info.id`` or a column ``id``, else they are a hash of the prompt: never the row's place.

    Raises:
        UserError: the file is missing, damaged or empty, has neither column, or holds a problem twice.
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
    try:
        frame = readers[path.suffix](path)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path}: this cannot be read as {path.suffix}: {str(error).splitlines()[0]}"
        ) from None
    if "prompt" not in frame and "problem" not in frame:
        raise UserError(f"{path}: neither a column prompt (messages) nor a column problem (text) is there.")
    try:
        problems = [_problem({str(key): v for key, v in row.items()}) for row in frame.to_dict("records")]
    except (TypeError, KeyError, IndexError):
        raise UserError(f"{path}: prompt should be a text, or messages with role and content.") from None
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
    every state. Without a template, in ``template`` or the tokenizer's own, the text goes in as it is, with
    the tokenizer's special tokens.

    Raises:
        UserError: the prompt is empty, or the template refuses its messages.
    """
    if template.get("chat_template") or getattr(tokenizer, "chat_template", None):
        try:
            text = tokenizer.apply_chat_template(
                problem.messages, tokenize=False, add_generation_prompt=True, **template
            )
        except TemplateError as error:
            raise UserError(f"problem {problem.id}: the chat template refuses it: {error}.") from None
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

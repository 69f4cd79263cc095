"""Typed validation of what users write, with one sentence for each mistake."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bupo.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A typed piece of configuration in which every key must be known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validated(model: type[Model], values: Any, where: str | Path) -> Model:
    """``values`` as a ``model``.

    Args:
        model: the pydantic model that says what is right.
        values: plain dictionaries and lists, as read from YAML.
        where: the file that the user wrote them in, for the message.

    Raises:
        UserError: the first mistake, with its file, key, value and what would be right.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: the file should hold keys and values, not {_shown(values)}.")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_sentence(error, model)}") from None


def load_yaml(path: str | Path) -> Any:
    """Read a YAML file that a user wrote.

    Raises:
        UserError: the file is missing or is not YAML.
    """
    path = Path(path)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}: this is not YAML: {getattr(error, 'problem', error)}{line}.") from None


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    # A misspelt key explains a missing one, so that it is told first.
    first = min(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        known = ", ".join(_keys_at(model, first["loc"][:-1]))
        return f"{key} is not a known key" + (f"; known here are: {known}." if known else ".")
    if first["type"] == "missing":
        return f"{key} is missing."
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{key} = {_shown(first['input'])}: {message[:1].lower()}{message[1:]}."


def _keys_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys that ``model`` knows at a nested location; empty where the type there is not a model."""
    names_follow = False
    for part in location:
        if names_follow:  # any name is right there
            names_follow = False
            continue
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return []
        annotation = fields[part].annotation
        names_follow = getattr(annotation, "__origin__", None) is dict
        arguments = [a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")]
        model = annotation if hasattr(annotation, "model_fields") else (arguments or [None])[0]
    return list(getattr(model, "model_fields", {}))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

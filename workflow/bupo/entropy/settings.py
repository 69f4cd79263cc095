"""Settings of the entropy analysis, and the model it is about."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bupo.errors import UserError
from bupo.files import read_json
from bupo.validation import Strict

LensName = Literal["raw", "final_norm"]


class Analysis(Strict):
    """One entry of ``configs/analysis/`` with a seed; the comments there explain each key."""

    problems: int | None = Field(default=100, ge=1)
    samples: int = Field(default=1, ge=1)
    max_new_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    batch_size: int = Field(default=32, ge=1)
    lenses: list[LensName] = Field(default=["raw", "final_norm"], min_length=1)
    tolerance: float = Field(default=0.05, ge=0)
    level: float = Field(default=0.95, gt=0, lt=1)
    boundary_lens: LensName = "raw"
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    grader: Literal["math_verify", "string"] = "math_verify"
    chat_template: dict[str, Any] = Field(default={"enable_thinking": False})
    seed: int = 1

    @model_validator(mode="after")
    def _lenses_fit(self) -> "Analysis":
        if len(set(self.lenses)) < len(self.lenses):
            raise ValueError(f"lenses {self.lenses} names one of them twice")
        if self.boundary_lens not in self.lenses:
            raise ValueError(f"boundary_lens {self.boundary_lens!r} should be one of lenses {self.lenses}")
        return self


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        name: for people and for files.
        path: a directory, or a repository of the Hugging Face hub.
        revision: commit of the hub repository, or None.
        layers: how many layers it is said to have, or None.
    """

    name: str
    path: str
    revision: str | None = None
    layers: int | None = None


def model_source(argument: str) -> ModelSource:
    """Resolve the command line's MODEL: a ``model.json`` (or its folder), a directory or a hub id.

    Raises:
        UserError: the JSON file is missing or lacks ``path``.
    """
    path = Path(argument)
    if path.is_dir() and not (path / "config.json").exists() and (path / "model.json").exists():
        path = path / "model.json"
    if path.suffix != ".json":
        return ModelSource(path.name or argument, argument)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; MODEL is a model.json, a directory or a hub id.")
    values = read_json(path)
    if not isinstance(values, dict) or "path" not in values:
        raise UserError(f"{path}: the key path is missing; a model.json says where the model is.")
    return ModelSource(
        values.get("name") or path.parent.name, values["path"], values.get("revision"), values.get("layers")
    )

"""Settings of the entropy analysis."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bupo.errors import UserError
from bupo.validation import Strict, load_yaml, validated

LensName = Literal["raw", "final_norm"]
FIRST_EDGE = 8  # of the positions in a response that are told apart by default

# What only the measuring hangs on, and what only the judging of its result does: a change of these does not
# draw the responses again, and a change of the latter measures nothing again either.
MEASURING = frozenset({"lenses", "position_edges", "anchor_layers"})
JUDGING = frozenset({"tolerance", "level", "boundary_lens"})


class Analysis(Strict):
    """One entry of ``configs/analysis/`` with a seed; the comments there explain each key."""

    problems: int | None = Field(default=100, ge=1)
    samples: int = Field(default=1, ge=1)
    max_new_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    batch_size: int = Field(default=32, ge=1)
    backend: Literal["hf", "vllm"] = "hf"
    vllm: dict[str, Any] = Field(default={})
    lenses: list[LensName] = Field(default=["raw", "final_norm"], min_length=1)
    position_edges: list[int] | None = Field(default=None, min_length=1)
    anchor_layers: list[int] = Field(default=[])
    tolerance: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    level: float = Field(default=0.95, gt=0, lt=1)
    boundary_lens: LensName = "raw"
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    grader: Literal["math_verify", "string"] = "math_verify"
    chat_template: dict[str, Any] = Field(default={"enable_thinking": False})
    seed: int = 1

    @model_validator(mode="after")
    def _fits(self) -> "Analysis":
        if len(set(self.lenses)) < len(self.lenses):
            raise ValueError(f"lenses {self.lenses} names one of them twice")
        if self.boundary_lens not in self.lenses:
            raise ValueError(f"boundary_lens {self.boundary_lens!r} should be one of lenses {self.lenses}")
        for name, values in (
            ("position_edges", self.position_edges or []),
            ("anchor_layers", self.anchor_layers),
        ):
            if any(value < 1 for value in values):
                raise ValueError(f"{name} {values} should count from 1")
            if values != sorted(set(values)):
                raise ValueError(f"{name} {values} should rise, each once")
        return self

    @property
    def edges(self) -> list[int]:
        """The last places of the position slices; that of the last slice is ``max_new_tokens``."""
        powers = [FIRST_EDGE << i for i in range(self.max_new_tokens.bit_length())]
        given = powers if self.position_edges is None else self.position_edges
        return [*(edge for edge in given if edge < self.max_new_tokens), self.max_new_tokens]

    def sampling(self) -> dict[str, Any]:
        """The settings that the responses hang on."""
        return self.model_dump(exclude={"problems", *MEASURING, *JUDGING})

    def measuring(self) -> dict[str, Any]:
        """The settings that the sums over a response's tokens hang on, beside the responses."""
        return self.model_dump(include=set(MEASURING)) | {"edges": self.edges}

    def judged_by(self, other: "Analysis") -> "Analysis":
        """These settings with the judging ones of ``other``."""
        return self.model_copy(update=other.model_dump(include=set(JUDGING)))


def read_settings(spec: Path | None, cells: Iterable[Path] = ()) -> Analysis:
    """The settings of a spec file (the defaults where None), with the layers of ``cells`` as anchors too.

    Args:
        spec: YAML as in ``configs/analysis/``.
        cells: configurations of training runs; ``bupo.layer`` of each is the internal policy it trains.

    Raises:
        UserError: a file is missing, or a setting is wrong.
    """
    settings = Analysis() if spec is None else validated(Analysis, load_yaml(spec), spec)
    anchors = {layer for layer in map(_cell_layer, cells) if layer is not None}
    return settings.model_copy(update={"anchor_layers": sorted(anchors | set(settings.anchor_layers))})


def _cell_layer(path: Path) -> int | None:
    values = load_yaml(path)
    bupo = values.get("bupo") if isinstance(values, dict) else None
    if not isinstance(bupo, dict) or "layer" not in bupo:
        raise UserError(f"{path}: bupo.layer is missing; --cells names the config.yaml of training runs.")
    layer = bupo["layer"]
    if layer is not None and (isinstance(layer, bool) or not isinstance(layer, int) or layer < 1):
        raise UserError(f"{path}: bupo.layer = {layer!r} should be a layer, counted from 1, or null.")
    return layer

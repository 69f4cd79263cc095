"""What a model's file may say (``configs/model/<name>.yaml``), and the spec that the stage gets.

A model is built here (``built``), taken from the Hugging Face hub (``hub``) or from a folder (``local``).
This module imports no torch, so that an experiment is validated at once.
"""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from bupo.validation import Strict

Kind = Literal["built", "hub", "local"]


class TokenizerConfig(Strict):
    """The byte-level BPE tokenizer of a built model.

    Attributes:
        vocab_size: at most so many tokens; 259 (bytes and special tokens) would be letters only.
        problems: number of word problems that it is trained on.
        model_max_length: longest text in tokens; also the model's number of positions.
    """

    vocab_size: int = Field(default=512, ge=300)
    problems: PositiveInt = 4000
    model_max_length: PositiveInt = 4096


class WarmUpConfig(Strict):
    """Supervised training of a built model on worked solutions.

    Attributes:
        steps: optimiser steps.
        batch_size: problems in a step.
        lr: peak learning rate of AdamW for the weight matrices of the layers.
        embedding_lr: the same for the embedding, the unembedding and the norms.
        warm_up_share: share of the steps in which both rates rise; they fall linearly after that.
        weight_decay: decoupled, as AdamW has it.
        max_grad_norm: the gradient is scaled down to this norm.
        difficulty: of the problems, as `bupo.data.arithmetic.problems` has it.
        error_rate: share of the one-step problems whose result the teacher gets wrong; of n steps,
            1 - (1 - error_rate)^n.
        drill_share: share of the steps, the first ones, that train bare calculations without a story; there
            are four times as many of them in the same time.
    """

    steps: PositiveInt
    batch_size: PositiveInt = 8
    lr: PositiveFloat = 8e-4
    embedding_lr: PositiveFloat = 2e-3
    warm_up_share: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: PositiveFloat = 1.0
    difficulty: Literal["easy", "hard", "mixed"] = "mixed"
    error_rate: float = Field(default=0.25, ge=0, lt=1)
    drill_share: float = Field(default=0.4, ge=0, lt=1)


class BuiltModel(Strict):
    """A small decoder made from random weights and warmed up.

    Attributes:
        architecture: ``qwen3`` or ``llama``, as transformers has them.
        initializer_range: standard deviation of the random weights.
        head_dim: at least 32 and a multiple of 8, since vLLM runs no smaller heads.
    """

    architecture: Literal["qwen3", "llama"]
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    attention_heads: PositiveInt
    key_value_heads: PositiveInt
    head_dim: int = Field(default=32, ge=32, multiple_of=8)
    rope_theta: PositiveFloat = 10000.0
    initializer_range: PositiveFloat = 0.05
    tie_word_embeddings: bool = True
    tokenizer: TokenizerConfig = TokenizerConfig()
    warm_up: WarmUpConfig

    @model_validator(mode="after")
    def _heads_are_shared_evenly(self) -> "BuiltModel":
        if self.attention_heads % self.key_value_heads:
            raise ValueError(
                f"attention_heads ({self.attention_heads}) should be a multiple of key_value_heads "
                f"({self.key_value_heads})"
            )
        return self


class HubModel(Strict):
    """A model of the Hugging Face hub. ``revision`` should be a commit hash.

    A branch or tag, such as ``main``, is looked up when the model is prepared; model.json has the commit.
    """

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(min_length=1)


class LocalModel(Strict):
    """A model in a folder, as ``save_pretrained`` writes it."""

    path: str = Field(min_length=1)


class ModelConfig(Strict):
    """A model, from exactly one of three places.

    Attributes:
        layers: L, the number of decoder layers; a prepared model that has another number is refused.
        size: what its jobs ask a cluster for, a key of ``sizes`` in ``configs/cluster.yaml``.
        prompt: how problems are put to it (`bupo.data.prompts`).
        positions: tokens of a prompt and its response that it was made for (``max_position_embeddings``); a
            prepared model that has another number is refused. None: not stated. It is in no spec then, so
            that models that do not state it are as they were before it could be stated.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
    layers: PositiveInt
    size: str | None = None
    prompt: Literal["plain", "qwen", "octothinker"]
    positions: PositiveInt | None = Field(default=None, exclude_if=lambda value: value is None)
    built: BuiltModel | None = None
    hub: HubModel | None = None
    local: LocalModel | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "ModelConfig":
        if sum(place is not None for place in (self.built, self.hub, self.local)) != 1:
            raise ValueError("a model needs exactly one of built, hub, local")
        if self.built and self.positions is not None:
            raise ValueError(
                "positions of a built model are built.tokenizer.model_max_length; leave them out"
            )
        return self

    @property
    def kind(self) -> Kind:
        """Where the model comes from."""
        return "built" if self.built else "hub" if self.hub else "local"

    @property
    def context(self) -> int | None:
        """Tokens of a prompt and its response that it holds; None where its file does not say."""
        return self.built.tokenizer.model_max_length if self.built else self.positions


class ModelSpec(Strict):
    """What ``python -m bupo.models prepare`` gets: a model, resolved, and the seed of its building."""

    model: ModelConfig
    seed: int = 1

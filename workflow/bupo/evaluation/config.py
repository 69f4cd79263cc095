"""Settings of an evaluation, checked before anything is loaded."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from bupo.validation import Strict, load_yaml, validated


class Bootstrap(Strict):
    """Intervals and p-values.

    Attributes:
        resamples: random sign flips behind a p-value of the report.
        level: coverage of the intervals.
    """

    resamples: int = Field(default=10_000, ge=100)
    level: float = Field(default=0.95, gt=0.5, lt=1.0)


class Shards(Strict):
    """Into how many jobs an evaluation is cut; the samples are the same for every cut.

    Attributes:
        problems: into how many parts the benchmark's problems are cut.
        samples: how many samples of a problem one job draws; null for all.
    """

    problems: PositiveInt = 1
    samples: PositiveInt | None = None


class Decoding(Strict):
    """How responses are drawn, however many.

    Attributes:
        temperature: 0 is greedy (all samples of a problem are then equal).
        top_p: nucleus; 1 is the whole distribution. top_k is always off.
        max_new_tokens: longest response in tokens, its end token included.
        batch_size: sequences decoded together (backend ``hf``).
        backend: ``hf`` (transformers, also without a GPU) or ``vllm``.
        dtype: of the weights; ``auto`` is float32 without a GPU, the model's own with one.
        chat_template_kwargs: passed to the tokenizer's template, as in training (``enable_thinking``).
        chat_template: a template for a tokenizer that has none.
        vllm: further arguments of ``vllm.EngineArgs``, such as ``tensor_parallel_size``. The environment
            variable BUPO_VLLM_PYTHON names an interpreter whose environment has vllm, where this one has not.
        seed: of the sampling.
    """

    temperature: float = Field(default=1.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(ge=1)
    batch_size: int = Field(default=256, ge=1)
    backend: Literal["hf", "vllm"] = "hf"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    chat_template: str | None = None
    vllm: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0


class EvaluationSettings(Decoding):
    """One evaluation: how samples are drawn, how they are graded, which numbers are made of them.

    Attributes:
        samples: samples for each problem.
        shards: into how many jobs the sampling is cut.
        grader: rule of the headline scores; both rules are always applied.
        pass_at_k: the k of pass@k, none above ``samples``.
        run: name shown in the summary, ``<model>/<cell>/seed<s>``; by default made from the model argument.
    """

    name: str | None = None
    samples: int = Field(ge=1)
    shards: Shards = Shards()
    grader: Literal["math_verify", "string"] = "math_verify"
    pass_at_k: list[int] = Field(default_factory=lambda: [1], min_length=1)
    bootstrap: Bootstrap = Bootstrap()
    run: str | None = None

    @model_validator(mode="after")
    def k_within_samples(self) -> "EvaluationSettings":
        """pass@k needs at least k samples."""
        for k in self.pass_at_k:
            if not 1 <= k <= self.samples:
                raise ValueError(f"pass_at_k holds {k}; 1 to {self.samples} (samples) would be right")
        return self


def read_settings(path: str | Path) -> EvaluationSettings:
    """Read an evaluation spec (YAML).

    Raises:
        UserError: names the file and the first key that is wrong.
    """
    return validated(EvaluationSettings, load_yaml(path), path)


def read_decoding(path: str | Path) -> Decoding:
    """Read how responses are drawn from a spec of that alone, or from the spec of a whole evaluation.

    Raises:
        UserError: names the file and the first key that is wrong.
    """
    values = load_yaml(path)
    whole = isinstance(values, dict) and "samples" in values
    return validated(EvaluationSettings if whole else Decoding, values, path)

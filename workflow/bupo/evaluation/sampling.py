"""Responses to an evaluation's prompts, drawn by `bupo.sampling` with transformers or vLLM.

The key of a sample follows from the evaluation's seed, the problem's id and the sample's number, and from
nothing else: not from the order of the problems, the batch it falls into, or how many samples there are. So
more samples only add to those drawn before, and an evaluation that goes on after a crash draws what it would
have drawn.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.evaluation.config import Decoding
from bupo.sampling import Completion, Request, SamplingSettings, key_of, sample_vllm


@dataclass(frozen=True)
class Wanted:
    """One response to draw: the rendered prompt and which sample of which problem it is."""

    problem_id: str
    sample: int
    prompt: str


@dataclass(frozen=True)
class Sample:
    """One response: ``n_tokens`` counts its end token; ``finish_reason`` is ``stop`` or ``length`` (cut
    off); ``key`` is that of its random numbers, in hexadecimal digits."""

    problem_id: str
    sample: int
    text: str
    n_tokens: int
    finish_reason: str
    key: str


class Sampler(ABC):
    """What responses are drawn with: a model, loaded when something is drawn.

    Args:
        path: folder or hub id.
        revision: of the hub id.
        settings: how responses are drawn.

    Raises:
        UserError: there is no chat template.
    """

    def __init__(self, path: str, revision: str | None, settings: Decoding) -> None:
        from transformers import AutoTokenizer

        self.path, self.revision, self.settings = path, revision, settings
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=revision)
        self._template = settings.chat_template or getattr(self.tokenizer, "chat_template", None)
        if self._template is None:
            raise UserError(
                "the model's tokenizer has no chat template; chat_template in the spec would be right"
            )

    @cached_property
    def drawing(self) -> SamplingSettings:
        """How tokens are drawn."""
        from bupo.sampling import end_tokens, load_generation_config

        source = load_generation_config(self.path, self.revision)
        return SamplingSettings(
            max_new_tokens=self.settings.max_new_tokens,
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            end_token_ids=frozenset(end_tokens(source, self.tokenizer)),
        )

    def render(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Messages as the model reads them in training; a template that refuses them is an error, nothing is
        dropped.
        """
        return self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            chat_template=self._template,
            **self.settings.chat_template_kwargs,
        )

    def sample(
        self, wanted: list[Wanted], scratch: Path, progress: Callable[[int], None]
    ) -> Iterator[list[Sample]]:
        """Draw all that is wanted and yield it in parts as they are finished, in any order.

        Args:
            wanted: what to draw.
            scratch: folder for responses that are not handed over yet.
            progress: called with the number of responses finished so far.

        Raises:
            UserError: a prompt and its response are longer than the model holds, or there is no vLLM.
        """
        encoded = {
            prompt: tuple(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
            for prompt in {one.prompt for one in wanted}
        }
        keys = [key_of(self.settings.seed, one.problem_id, one.sample) for one in wanted]
        requests = [Request(encoded[one.prompt], key) for one, key in zip(wanted, keys, strict=True)]
        for part in self._complete(requests, scratch, progress):
            yield [self._finish(wanted[place], keys[place], completion) for place, completion in part]

    @abstractmethod
    def _complete(
        self, requests: Sequence[Request], scratch: Path, progress: Callable[[int], None]
    ) -> Iterator[list[tuple[int, Completion]]]:
        """Draw the requests; each completion comes with the place of its request."""

    def _finish(self, wanted: Wanted, key: int, completion: Completion) -> Sample:
        tokens, reason = completion.token_ids, completion.finish_reason
        text = self.tokenizer.decode(tokens[:-1] if reason == "stop" else tokens, skip_special_tokens=True)
        return Sample(wanted.problem_id, wanted.sample, text, len(tokens), reason, f"{key:032x}")


class HuggingFaceSampler(Sampler):
    """Draws with transformers in this process, on a GPU where there is one."""

    @cached_property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        import torch
        from transformers import AutoModelForCausalLM

        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = self.settings.dtype
        if dtype == "auto" and device == "cpu":
            dtype = "float32"
        model: Any = AutoModelForCausalLM.from_pretrained(self.path, revision=self.revision, dtype=dtype)
        return model.to(device).eval()

    def _complete(
        self, requests: Sequence[Request], scratch: Path, progress: Callable[[int], None]
    ) -> Iterator[list[tuple[int, Completion]]]:
        from bupo.sampling import decode_in_batches

        return decode_in_batches(self.model, requests, self.drawing, self.settings.batch_size, progress)


class VLLMSampler(Sampler):
    """Draws with vLLM in a process of its own; ``vllm`` of the settings are arguments of its engine."""

    def _complete(
        self, requests: Sequence[Request], scratch: Path, progress: Callable[[int], None]
    ) -> Iterator[list[tuple[int, Completion]]]:
        engine = {"dtype": self.settings.dtype, **self.settings.vllm}
        return sample_vllm(
            self.path,
            self.revision,
            requests,
            self.drawing,
            engine,
            scratch,
            on_finished=progress,
        )

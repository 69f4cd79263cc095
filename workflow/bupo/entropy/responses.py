"""Responses of the model; each hangs on its problem and the seed, not on its place in a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel

from bupo.entropy.problems import Problem, render
from bupo.entropy.settings import Analysis
from bupo.errors import UserError
from bupo.files import sha256_text
from bupo.progress import Progress


@dataclass(frozen=True)
class Response:
    """One response, known by its token ids; the last of them is EOS where ``finished``."""

    problem: Problem
    sample: int
    prompt_ids: list[int]
    response_ids: list[int]
    text: str
    finished: bool

    @property
    def positions(self) -> slice:
        """The positions that predict the response's tokens.

        The last position of the prompt predicts the first of them; the position of the last token predicts
        nothing that is part of the response.

        Raises:
            UserError: the response is empty.
        """
        if not self.response_ids:
            raise UserError(f"problem {self.problem.id}, sample {self.sample}: the response is empty.")
        return slice(len(self.prompt_ids) - 1, len(self.prompt_ids) + len(self.response_ids) - 1)


def sample_responses(
    model: PreTrainedModel, tokenizer: Any, problems: list[Problem], settings: Analysis
) -> list[Response]:
    """``settings.samples`` responses to each problem, from the model's whole distribution at the temperature.

    Sampling settings that the model ships with (top-k, penalties, ...) are left out. Problems are batched by
    prompt length; results come in the order of ``problems``.
    """
    rows = [
        (problem, sample, ids)
        for problem in problems
        for ids in [render(tokenizer, problem, settings.chat_template)]
        for sample in range(settings.samples)
    ]
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i][2]), rows[i][0].id, rows[i][1]))
    stops = stop_tokens(model, tokenizer)
    progress = Progress("entropy", len(rows), "responses")
    found: dict[int, Response] = {}
    for start in range(0, len(order), settings.batch_size):
        batch = order[start : start + settings.batch_size]
        tokens = _generate(model, tokenizer, [rows[i] for i in batch], settings, stops)
        for i, generated in zip(batch, tokens, strict=True):
            problem, sample, prompt_ids = rows[i]
            response_ids, finished = cut(generated, stops)
            text = tokenizer.decode(response_ids, skip_special_tokens=True)
            found[i] = Response(problem, sample, prompt_ids, response_ids, text, finished)
        progress.update(len(found))
    return [found[i] for i in range(len(rows))]


def cut(generated: list[int], stops: set[int]) -> tuple[list[int], bool]:
    """The tokens up to and including the first that ends a response, and whether there was one."""
    for place, token in enumerate(generated):
        if token in stops:
            return generated[: place + 1], True
    return generated, False


def stop_tokens(model: PreTrainedModel, tokenizer: Any) -> set[int]:
    """The tokens that end a response: the model's own EOS tokens and the tokenizer's.

    Raises:
        UserError: there is none.
    """
    eos = getattr(model.generation_config, "eos_token_id", None)
    stops = set(eos if isinstance(eos, list | tuple) else [eos]) | {tokenizer.eos_token_id}
    stops.discard(None)
    if not stops:
        raise UserError(
            "neither the model nor its tokenizer has an EOS token, so that no response ever ends."
        )
    return stops


def response_seed(seed: int, problem_id: str, sample: int) -> int:
    """The seed of one response's random numbers."""
    return int(sha256_text(f"{seed}:{problem_id}:{sample}")[:15], 16)


class _GumbelSampling(LogitsProcessor):
    """Adds each row's own Gumbel noise: the most likely token after it is a sample from the distribution.

    Hugging Face's own sampling draws all rows from one stream of random numbers: there a response depends on
    which others are in the batch.
    """

    def __init__(self, seeds: list[int], temperature: float, device: torch.device) -> None:
        """One generator for each row of the batch."""
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of the next token, [B, V], divided by the temperature and with noise added."""
        waiting = torch.empty_like(scores)
        for row, generator in zip(waiting, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores / self.temperature - waiting.log()


@torch.no_grad()
def _generate(
    model: PreTrainedModel,
    tokenizer: Any,
    rows: list[tuple[Problem, int, list[int]]],
    settings: Analysis,
    stops: set[int],
) -> list[list[int]]:
    width = max(len(ids) for _, _, ids in rows)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops)
    ids = torch.tensor([[pad] * (width - len(ids)) + ids for _, _, ids in rows], device=model.device)
    mask = torch.tensor(
        [[0] * (width - len(ids)) + [1] * len(ids) for _, _, ids in rows], device=model.device
    )
    seeds = [response_seed(settings.seed, problem.id, sample) for problem, sample, _ in rows]
    noise = _GumbelSampling(seeds, settings.temperature, model.device)
    config = GenerationConfig(
        max_new_tokens=settings.max_new_tokens, do_sample=False, eos_token_id=sorted(stops), pad_token_id=pad
    )
    with _generation_config(model, config):
        out = model.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask, logits_processor=LogitsProcessorList([noise])
        )
    return out[:, width:].tolist()


@contextmanager
def _generation_config(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    # generate() fills whatever a config leaves open from the model's own, which may hold top-k or penalties.
    own = model.generation_config
    model.generation_config = config
    try:
        yield
    finally:
        model.generation_config = own

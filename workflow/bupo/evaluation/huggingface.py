"""Decoding with transformers, on a CPU or a GPU, each sample from its own random numbers.

A token is chosen by the inverse of the distribution's cumulative sum at the sample's next random number, so
what a row draws does not depend on the rows beside it (but for rounding in the last bits of the logits).
Prompts are run once and shared by their samples; rows that have ended leave the batch.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.sampling import Request, Sample, uniforms

KEEP = 0.8  # the batch is cut down when fewer than this share of its rows are still running


class HuggingFaceSampler:
    """A causal language model of transformers; its weights are loaded when something is drawn.

    Args:
        path: folder or hub id.
        revision: of the hub id.
        settings: of the evaluation.
    """

    def __init__(self, path: str, revision: str | None, settings: EvaluationSettings) -> None:
        from transformers import AutoTokenizer

        self.path, self.revision, self.settings = path, revision, settings
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=revision)

    @cached_property
    def model(self) -> Any:
        """The model, in evaluation mode, on the device."""
        from transformers import AutoModelForCausalLM

        dtype = self.settings.dtype
        if dtype == "auto" and self.device.type == "cpu":
            dtype = "float32"
        model: Any = AutoModelForCausalLM.from_pretrained(self.path, revision=self.revision, dtype=dtype)
        return model.to(self.device).eval()

    @cached_property
    def end_tokens(self) -> set[int]:
        """Every token that ends a response."""
        return end_tokens(self.model, self.tokenizer)

    def sample(self, requests: list[Request], progress: Callable[[int], None]) -> Iterator[list[Sample]]:
        """Draw all requests, a batch of prompts of like length at a time."""
        prompts = {request.prompt for request in requests}
        encoded = {
            prompt: self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
            for prompt in sorted(prompts)
        }
        longest = max(len(tokens) for tokens in encoded.values())
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is not None and longest + self.settings.max_new_tokens > room:
            raise UserError(
                f"max_new_tokens is {self.settings.max_new_tokens}, but the longest prompt has "
                f"{longest} tokens and the model holds {room}; at most {room - longest} would be right"
            )
        ordered = sorted(requests, key=lambda r: (-len(encoded[r.prompt]), r.problem_id, r.sample))
        done = 0
        for start in range(0, len(ordered), self.settings.batch_size):
            batch = ordered[start : start + self.settings.batch_size]
            tokens = self._decode(
                [encoded[request.prompt] for request in batch],
                [request.seed for request in batch],
                lambda finished, done=done: progress(done + finished),  # type: ignore[misc]
            )
            done += len(batch)
            yield [self._finish(request, row) for request, row in zip(batch, tokens, strict=True)]

    def _finish(self, request: Request, tokens: list[int]) -> Sample:
        stopped = tokens[-1] in self.end_tokens
        text = self.tokenizer.decode(tokens[:-1] if stopped else tokens, skip_special_tokens=True)
        reason = "stop" if stopped else "length"
        return Sample(request.problem_id, request.sample, text, len(tokens), reason, request.seed)

    @torch.inference_mode()
    def _decode(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], finished: Callable[[int], None]
    ) -> list[list[int]]:
        """Responses as token ids, each with its end token or ``max_new_tokens`` long."""
        settings, device = self.settings, self.device
        draws = np.stack([uniforms(seed, settings.max_new_tokens) for seed in seeds])  # [B, T]
        draws_BT = torch.from_numpy(draws).to(device)
        ends = torch.tensor(sorted(self.end_tokens), device=device)
        logits_BV, cache, mask_BS = self._prefill(prompts)
        rows_B = torch.arange(len(prompts), device=device)
        responses: list[list[int]] = [[] for _ in prompts]
        running_B = torch.ones(len(prompts), dtype=torch.bool, device=device)
        for step in range(settings.max_new_tokens):
            tokens_B = choose(logits_BV, draws_BT[rows_B, step], settings.temperature, settings.top_p)
            for row, token, running in zip(
                rows_B.tolist(), tokens_B.tolist(), running_B.tolist(), strict=True
            ):
                if running:
                    responses[row].append(token)
            running_B &= ~torch.isin(tokens_B, ends)
            left = int(running_B.sum())
            finished(len(prompts) - left)
            if left == 0 or step + 1 == settings.max_new_tokens:
                break
            if left < KEEP * len(rows_B):
                keep = running_B.nonzero(as_tuple=True)[0]
                cache.batch_select_indices(keep)
                rows_B, tokens_B, mask_BS, running_B = (
                    rows_B[keep],
                    tokens_B[keep],
                    mask_BS[keep],
                    running_B[keep],
                )
            mask_BS = torch.cat([mask_BS, mask_BS.new_ones(len(rows_B), 1)], dim=1)
            output = self.model(
                input_ids=tokens_B[:, None],
                attention_mask=mask_BS,
                position_ids=mask_BS.sum(dim=1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
            )
            logits_BV = output.logits[:, -1]
        finished(len(prompts))
        return responses

    def _prefill(self, prompts: Sequence[list[int]]) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Run each different prompt once: next-token logits [B, V], cache and mask [B, S] of all rows."""
        from transformers import DynamicCache

        unique = sorted({tuple(prompt) for prompt in prompts})
        width = max(len(prompt) for prompt in unique)
        ids = torch.zeros(len(unique), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(unique):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        cache = DynamicCache(config=self.model.config)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        place = {prompt: row for row, prompt in enumerate(unique)}
        spread = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=self.device)
        cache.batch_select_indices(spread)
        return output.logits[:, -1][spread], cache, mask[spread]


def choose(logits_BV: torch.Tensor, draw_B: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Next token of each row, shape (B,): greedy at temperature 0, else drawn by the row's random number."""
    if temperature == 0.0:
        return logits_BV.argmax(dim=-1)
    probabilities_BV = torch.softmax(logits_BV.double() / temperature, dim=-1)
    if top_p < 1.0:
        ordered_BV, index_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
        outside_BV = ordered_BV.cumsum(dim=-1) - ordered_BV >= top_p
        probabilities_BV = probabilities_BV.scatter(-1, index_BV, ordered_BV.masked_fill(outside_BV, 0.0))
    sums_BV = probabilities_BV.cumsum(dim=-1)
    chosen_B1 = torch.searchsorted(sums_BV, draw_B[:, None] * sums_BV[:, -1:], right=True)
    return chosen_B1[:, 0].clamp(max=logits_BV.shape[-1] - 1)


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends a response: of the model's generation settings and of the tokenizer."""
    listed = getattr(model.generation_config, "eos_token_id", None)
    several = listed if isinstance(listed, list) else [listed]
    tokens = {int(token) for token in (*several, tokenizer.eos_token_id) if token is not None}
    if not tokens:
        raise UserError("neither the model's generation_config.json nor its tokenizer names an end token")
    return tokens

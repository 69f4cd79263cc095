"""Decoding with a Hugging Face model in this process, on a CPU or a GPU.

Shapes: B rows of the batch, V tokens of the vocabulary, S positions, T tokens of a response.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from bupo.errors import UserError
from bupo.sampling.draw import draw, entropy, log_policy, uniforms
from bupo.sampling.request import Completion, Request, SamplingSettings, check_room

COMPACT_BELOW = 0.75
"""Finished rows leave the batch once the share of unfinished ones falls below this."""


def decode_in_batches(
    model: PreTrainedModel,
    requests: Sequence[Request],
    settings: SamplingSettings,
    batch_size: int,
    on_finished: Callable[[int], None] | None = None,
) -> Iterator[list[tuple[int, Completion]]]:
    """Any number of responses, at most ``batch_size`` at a time, long prompts first.

    Args:
        model: a causal language model in evaluation mode.
        requests: what to draw.
        settings: how tokens are drawn.
        batch_size: sequences that are decoded together.
        on_finished: called with the number of responses that are finished so far.

    Yields:
        Each batch's responses, each with the place of its request.

    Raises:
        UserError: as `decode`.
    """
    order = sorted(range(len(requests)), key=lambda i: (-len(requests[i].prompt_ids), requests[i].prompt_ids))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]

        def tell(finished: int, before: int = start) -> None:
            if on_finished is not None:
                on_finished(before + finished)

        completions = decode(model, [requests[i] for i in places], settings, tell)
        yield list(zip(places, completions, strict=True))


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    requests: Sequence[Request],
    settings: SamplingSettings,
    on_finished: Callable[[int], None] | None = None,
) -> list[Completion]:
    """The responses to one batch of requests, in their order.

    Each different prompt is read once, whatever the number of its samples; rows that have ended leave the
    batch.

    Args:
        model: a causal language model in evaluation mode.
        requests: what to draw, all together.
        settings: how tokens are drawn.
        on_finished: called with the number of responses that are finished so far.

    Raises:
        UserError: prompt and response are longer than the model holds, or its logits are not numbers.
    """
    if not requests:
        return []
    check_room(requests, settings, getattr(model.config.get_text_config(), "max_position_embeddings", None))
    logits, cache, mask = _read_prompts(model, requests, settings.pad_token_id)
    drawn = _Drawn(requests, settings, model.device)
    rows = torch.arange(len(requests), device=model.device)  # of the result, that the batch still holds
    for step in range(settings.max_new_tokens):
        tokens = drawn.add(rows, step, logits)
        left = ~drawn.stopped[rows]
        n_left = int(left.sum()) if step + 1 < settings.max_new_tokens else 0
        if on_finished is not None:
            on_finished(len(requests) - n_left)
        if n_left == 0:
            break
        if n_left < COMPACT_BELOW * len(rows):
            keep = left.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            rows, tokens, mask = rows[keep], tokens[keep], mask[keep]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        output = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=mask.sum(dim=1, keepdim=True) - 1,
            past_key_values=cache,
            use_cache=True,
        )
        cache, logits = output.past_key_values, output.logits[:, -1]
    return drawn.completions()


class _Drawn:
    """What has been drawn so far, for all requests of a batch."""

    def __init__(self, requests: Sequence[Request], settings: SamplingSettings, device: torch.device) -> None:
        self.settings = settings
        shape = (len(requests), settings.max_new_tokens)
        self.random = uniforms([request.key for request in requests], shape[1]).to(device)  # [B, T]
        self.ends = torch.tensor(sorted(settings.end_token_ids), dtype=torch.long, device=device)
        self.tokens = torch.zeros(shape, dtype=torch.long, device=device)
        self.log_probs = torch.zeros(shape, device=device)
        self.entropy = torch.zeros(shape[0], device=device)
        self.lengths = torch.full(shape[:1], shape[1], device=device)
        self.stopped = torch.zeros(shape[0], dtype=torch.bool, device=device)

    def add(self, rows: Tensor, step: int, logits: Tensor) -> Tensor:
        """Draw the next token of ``rows`` (B,) from ``logits`` (B, V); rows that have ended stay as they are.

        Returns:
            The tokens, (B,).
        """
        temperature = self.settings.temperature
        log_probs = log_policy(logits, temperature, self.settings.top_p)
        tokens = draw(log_probs, self.random[rows, step], temperature)
        of_tokens = log_probs.gather(-1, tokens[:, None])[:, 0]
        if not of_tokens.isfinite().all():
            raise UserError(
                f"the model's logits for token {step + 1} of a response are not numbers (NaN or infinite); "
                "weights that are numbers would be right."
            )
        going = ~self.stopped[rows]
        self.tokens[rows[going], step] = tokens[going]
        self.log_probs[rows[going], step] = of_tokens[going]
        self.entropy[rows[going]] += entropy(log_probs)[going]
        ending = rows[going & torch.isin(tokens, self.ends)]
        self.lengths[ending] = step + 1
        self.stopped[ending] = True
        return tokens

    def completions(self) -> list[Completion]:
        columns = (self.tokens, self.log_probs, self.entropy, self.lengths, self.stopped)
        return [
            Completion(tokens[:length], "stop" if stopped else "length", log_probs[:length], total)
            for tokens, log_probs, total, length, stopped in zip(
                *(column.tolist() for column in columns), strict=True
            )
        ]


def _read_prompts(
    model: PreTrainedModel, requests: Sequence[Request], pad: int
) -> tuple[Tensor, Any, Tensor]:
    """Read each different prompt once, padded on the left.

    Returns:
        For all requests the logits after the prompt (B, V), the cache and the mask (B, S).
    """
    prompts = list(dict.fromkeys(request.prompt_ids for request in requests))
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=DynamicCache(config=model.config),
        use_cache=True,
        logits_to_keep=1,
    )
    place = {prompt: row for row, prompt in enumerate(prompts)}
    rows = torch.tensor([place[request.prompt_ids] for request in requests], device=model.device)
    output.past_key_values.batch_select_indices(rows)
    return output.logits[:, -1][rows], output.past_key_values, mask[rows]

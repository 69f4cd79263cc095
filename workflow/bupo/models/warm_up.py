"""Supervised warm-up of a built model on worked solutions: quick on one core, the same bits every time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bupo.models.config import WarmUpConfig
from bupo.models.lessons import IGNORED, batches, make_lessons
from bupo.progress import Progress

# The learning rates fall to this share of their peaks at the last step.
LAST_RATE = 0.02


def warm_up(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: WarmUpConfig,
    prompt: str,
    seed: int,
    progress: Progress | None = None,
) -> list[float]:
    """Train ``model`` in place.

    The result hangs only on the arguments and on the number of threads.

    Args:
        model: a decoder with random weights.
        tokenizer: its tokenizer.
        config: steps, rates and the teacher.
        prompt: name of the prompt that the problems are put in (`bupo.data.prompts.PROMPTS`).
        seed: of the problems, the teacher's errors and the order.
        progress: told after every step.

    Returns:
        The mean loss per response token (nats) of every step.
    """
    lessons = make_lessons(config, prompt, tokenizer, seed)
    optimiser = _optimiser(model, config)
    peaks = [group["lr"] for group in optimiser.param_groups]
    losses: list[float] = []
    model.train()
    attention = model.config._attn_implementation
    with fast_float32_products():
        # Sequences of some fifty tokens: plain products are faster than the blocked kernel.
        model.set_attn_implementation("eager")
        for step, (inputs, labels) in enumerate(
            batches(lessons, config.batch_size, tokenizer.pad_token_id, seed)
        ):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * rate_share(step, config)
            loss = response_loss(model, inputs, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            if progress:
                recent = losses[-20:]
                progress.update(step + 1, f"loss {sum(recent) / len(recent):.3f}")
    model.set_attn_implementation(attention)
    model.eval()
    return losses


def response_loss(model: PreTrainedModel, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy (nats) of the response tokens; logits are made at their positions only.

    Args:
        model: the decoder.
        inputs: token ids, (batch, length).
        labels: the next token of every position, `IGNORED` outside responses, (batch, length).
    """
    states = model.model(input_ids=inputs, use_cache=False).last_hidden_state
    trained = labels != IGNORED
    return functional.cross_entropy(model.lm_head(states[trained]), labels[trained])


def rate_share(step: int, config: WarmUpConfig) -> float:
    """The share of the peak learning rate at a step (from 0): a linear rise, then a linear fall."""
    rise = config.warm_up_share * config.steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return max(LAST_RATE, (config.steps - step) / (config.steps - rise))


def _optimiser(model: PreTrainedModel, config: WarmUpConfig) -> torch.optim.AdamW:
    """AdamW, with a rate of its own for the embedding, the unembedding and the norms."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    inside = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    return torch.optim.AdamW(
        [{"params": matrices, "lr": config.lr}, {"params": others, "lr": config.embedding_lr}],
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
        fused=True,
    )


@contextmanager
def fast_float32_products() -> Iterator[None]:
    """Let oneDNN make the matrix products.

    On AMD processors with AVX-512 it is twice as fast as the library that PyTorch takes otherwise. It may
    round the factors to bfloat16 where the processor has matrix instructions for that; a warm-up does
    not suffer.
    """
    settings = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before

"""Tiny random decoders of several architectures, two of them with a sliding window shorter than the prompts."""

import pytest
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

END = 3
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "initializer_range": 0.15,  # so that layers differ and sampling is not uniform
    "eos_token_id": END,
    "pad_token_id": 0,
    "bos_token_id": 1,
}
WINDOW = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"] * 2}
KINDS = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SHAPE)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SHAPE, **WINDOW)),
    "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, **WINDOW)),
}


def random_decoder(architecture: str) -> PreTrainedModel:
    """Float64, so that batches of other shapes round to the same tokens."""
    torch.manual_seed(0)
    return KINDS[architecture]().double().eval()


@pytest.fixture(scope="module", params=sorted(KINDS))
def decoder(request: pytest.FixtureRequest) -> PreTrainedModel:
    return random_decoder(request.param)


@pytest.fixture(scope="module")
def qwen3() -> PreTrainedModel:
    return random_decoder("qwen3")

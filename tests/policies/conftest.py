"""Tiny random models, one per architecture."""

from collections.abc import Callable

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

VOCAB, LAYERS, HIDDEN = 301, 5, 32


def make_model(
    kind: str, tied: bool = False, layers: int = LAYERS, seed: int = 0, **options: object
) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # the default initialisation gives nearly uniform policies: spread them
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
            elif parameter.dim() == 2:
                parameter.mul_(8)
    return model


@pytest.fixture
def model_factory() -> Callable[..., PreTrainedModel]:
    return make_model


@pytest.fixture(params=["qwen3", "qwen2", "llama", "mistral"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return make_model(request.param)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, VOCAB, (2, 17), generator=torch.Generator().manual_seed(1))

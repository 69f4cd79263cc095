"""Fixtures that the tests of this folder share."""

from collections.abc import Callable

import pytest
import torch
from tiny_decoders import VOCAB, tiny_decoder
from transformers import PreTrainedModel


@pytest.fixture
def model_factory() -> Callable[..., PreTrainedModel]:
    return tiny_decoder


@pytest.fixture(params=["qwen3", "qwen2", "llama", "mistral"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A pre-norm decoder whose parts have Llama's names."""
    return tiny_decoder(request.param)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, VOCAB, (2, 17), generator=torch.Generator().manual_seed(1))

"""A tokenizer and a small model, made once."""

import pytest

from bupo.models.config import BuiltModel, TokenizerConfig
from bupo.models.tokenizer import build_tokenizer

BUILT = {
    "architecture": "qwen3",
    "hidden_size": 32,
    "intermediate_size": 64,
    "attention_heads": 2,
    "key_value_heads": 1,
    "tokenizer": {"problems": 500},
    "warm_up": {"steps": 3, "batch_size": 8},
}


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer(TokenizerConfig(problems=500))


@pytest.fixture
def built():
    return BuiltModel.model_validate(BUILT)


@pytest.fixture(scope="session")
def built_spec():
    """A spec of a small model, as plain values."""
    model = {"name": "small", "layers": 2, "prompt": "plain", "built": BUILT}
    return {"model": model, "seed": 7}

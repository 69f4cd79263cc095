"""The end tokens of a model are the same whether it is loaded or not."""

from types import SimpleNamespace

import pytest
from transformers import AutoModelForCausalLM, GenerationConfig

from bupo.errors import UserError
from bupo.sampling import end_tokens, load_generation_config


def tokenizer(eos):
    return SimpleNamespace(eos_token_id=eos)


@pytest.mark.parametrize(
    ("listed", "eos", "expected"), [(2, 2, {2}), ([2, 5], 2, {2, 5}), ([5], 2, {2, 5}), (None, 4, {4})]
)
def test_all_end_tokens_end(qwen3, tmp_path, listed, eos, expected):
    qwen3.save_pretrained(tmp_path)
    GenerationConfig(eos_token_id=listed).save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert end_tokens(loaded, tokenizer(eos)) == expected
    assert end_tokens(load_generation_config(str(tmp_path), None), tokenizer(eos)) == expected


def test_without_generation_settings_the_configuration_counts(qwen3, tmp_path):
    qwen3.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").unlink()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert end_tokens(loaded, tokenizer(None)) == {qwen3.config.eos_token_id}
    assert end_tokens(load_generation_config(str(tmp_path), None), tokenizer(None)) == {
        qwen3.config.eos_token_id
    }


def test_a_model_that_never_ends_is_refused():
    with pytest.raises(UserError, match="names an end token"):
        end_tokens(GenerationConfig(eos_token_id=None), tokenizer(None))

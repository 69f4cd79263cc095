"""The tokens that end a response."""

from typing import Any

from transformers import AutoConfig, GenerationConfig, PreTrainedModel

from bupo.errors import UserError


def end_tokens(source: PreTrainedModel | GenerationConfig, tokenizer: Any) -> set[int]:
    """Every token that ends a response: those of the model's generation settings and the tokenizer's.

    Args:
        source: a model, or its generation settings where it is not loaded (`load_generation_config`).
        tokenizer: of the model.

    Raises:
        UserError: there is none, so that no response would ever end.
    """
    listed = getattr(getattr(source, "generation_config", source), "eos_token_id", None)
    several = listed if isinstance(listed, list | tuple) else [listed]
    tokens = {int(token) for token in (*several, tokenizer.eos_token_id) if token is not None}
    if not tokens:
        raise UserError(
            "neither the model's generation_config.json nor its tokenizer names an end token "
            "(eos_token_id), so that no response would ever end."
        )
    return tokens


def load_generation_config(path: str, revision: str | None) -> GenerationConfig:
    """The generation settings that a model would be loaded with, without loading it.

    Args:
        path: folder or hub id.
        revision: of the hub id.
    """
    try:
        return GenerationConfig.from_pretrained(path, revision=revision or "main")
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(path, revision=revision))

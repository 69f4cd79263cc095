"""Load a model and its tokenizer."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from bupo.entropy.settings import ModelSource
from bupo.errors import UserError


def load_model(source: ModelSource, dtype: str) -> tuple[PreTrainedModel, Any]:
    """The causal language model in evaluation mode, on the GPU if there is one, and its tokenizer.

    Raises:
        UserError: it cannot be loaded, or has another number of layers than its ``model.json`` says.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.path, revision=source.revision)
        model = AutoModelForCausalLM.from_pretrained(
            source.path, revision=source.revision, dtype=getattr(torch, dtype)
        )
    except (OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{source.path}: no causal language model could be loaded from here: {first}"
        ) from None
    layers = getattr(model.config, "num_hidden_layers", None)
    if source.layers is not None and layers != source.layers:
        raise UserError(f"{source.path}: layers = {layers}, but its model.json says {source.layers}.")
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer

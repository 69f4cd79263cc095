"""Decoders with random weights, of the architectures that the project analyses."""

import torch
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from bupo.models.config import BuiltModel

ARCHITECTURES = {"qwen3": (Qwen3Config, Qwen3ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}


def random_model(
    built: BuiltModel, layers: int, tokenizer: PreTrainedTokenizerFast, seed: int
) -> PreTrainedModel:
    """A float32 decoder with random weights, its special tokens those of ``tokenizer``.

    The global random state is left as it was.
    """
    make_config, make_model = ARCHITECTURES[built.architecture]
    config = make_config(
        vocab_size=len(tokenizer),
        hidden_size=built.hidden_size,
        intermediate_size=built.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=built.attention_heads,
        num_key_value_heads=built.key_value_heads,
        head_dim=built.head_dim,
        max_position_embeddings=built.tokenizer.model_max_length,
        rope_parameters={"rope_type": "default", "rope_theta": built.rope_theta},
        initializer_range=built.initializer_range,
        tie_word_embeddings=built.tie_word_embeddings,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype=torch.float32,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make_model(config)
    # Every layer begins as the identity, which a short training learns from sooner.
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(weight)
    # Every stage samples from the model's own distribution; top_k would be 50 if it were not given.
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model

"""Tiny random models whose tokens include whole boxed answers, so that some of what they say is right."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

CHARACTERS = "0123456789+-=?.,$\\{}^_() abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\n"
THINKING_TEMPLATE = (
    "{% for m in messages %}<s>{{m['role']}}\n{{m['content']}}</s>\n{% endfor %}<s>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}=\n{% endif %}"
)
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    "initializer_range": 0.15,
}


def save_chat_model(folder: Path, answers: list[str], seed: int = 0) -> Path:
    """Qwen's architecture; a chat template with a switch for thinking; shipped settings that must not count."""
    tokenizer = _tokenizer(answers)
    tokenizer.chat_template = THINKING_TEMPLATE
    model = _model(Qwen3ForCausalLM, Qwen3Config, tokenizer, seed)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model.generation_config = GenerationConfig(
        **ends, do_sample=True, temperature=0.6, top_k=3, top_p=0.9, repetition_penalty=1.5
    )
    return _save(model, tokenizer, folder)


def save_base_model(folder: Path, answers: list[str], seed: int = 0) -> Path:
    """Llama's architecture; no chat template; a tokenizer that begins every text with its first token."""
    tokenizer = _tokenizer(answers)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    return _save(_model(LlamaForCausalLM, LlamaConfig, tokenizer, seed), tokenizer, folder)


def _tokenizer(answers: list[str]) -> PreTrainedTokenizerFast:
    boxes = [f"\\boxed{{{answer}}}" for answer in dict.fromkeys(answers)]
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *CHARACTERS, *boxes]
    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(pattern="", behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def _model(network: type, config: type, tokenizer: PreTrainedTokenizerFast, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return network(
        config(
            vocab_size=len(tokenizer),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            **SIZES,
        )
    )


def _save(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

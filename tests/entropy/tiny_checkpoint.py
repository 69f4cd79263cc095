"""A tiny random model on disk with its own tokenizer and chat template, and problems in verl's schema."""

import string
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from bupo.entropy.responses import Response

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|user|>", "<|assistant|>"]
THINK = ["<think>", "</think>"]


def make_tokenizer(template: str | None = TEMPLATE, thinks: bool = False) -> PreTrainedTokenizerFast:
    """One token for each character; adds a BOS by itself, as Llama's does.

    Where it ``thinks``, it has the tokens of a thinking block, not marked as special, as Qwen3's are not.
    """
    more = THINK if thinks else []
    vocabulary = {token: i for i, token in enumerate(SPECIAL + list(string.printable) + more)}
    vocabulary |= {f"<filler{i}>": len(vocabulary) + i for i in range(300 - len(vocabulary))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(pattern="", behavior="isolated")
    core.decoder = decoders.Fuse()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )
    tokenizer.add_tokens([AddedToken(token, special=False) for token in more])
    tokenizer.chat_template = template
    return tokenizer


def make_checkpoint(
    folder: Path,
    kind: str = "qwen3",
    layers: int = 4,
    hidden: int = 32,
    template: str | None = TEMPLATE,
    thinks: bool = False,
    seed: int = 0,
) -> Path:
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        vocab_size=300,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=hidden // 4,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(5)
        model.lm_head.weight[2] *= 3  # EOS comes up often enough for responses to end
    model.generation_config.repetition_penalty = 3.0  # what a model ships with must not touch the analysis
    model.save_pretrained(folder)
    make_tokenizer(template, thinks).save_pretrained(folder)
    return folder


def make_problems(path: Path, count: int = 12, first: int = 0) -> Path:
    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"assistant: {a}+{a + 3}?"}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(2 * a + 3)},
            "extra_info": {"index": a, "id": f"sums-{a:03d}"},
        }
        for a in range(first, first + count)
    ]
    pd.DataFrame(rows).to_parquet(path)
    return path


def response_of(problem: str, length: int = 5, prompt: int = 3, **values: Any) -> Response:
    """A response of random tokens; the same problem, sample and length have the same ones."""
    generator = torch.Generator().manual_seed(sum(map(ord, problem)) + values.get("sample", 0))
    tokens = torch.randint(6, 106, (length,), generator=generator).tolist()
    row = {"set": "sums", "sample": 0, "gold": None, "response": "", "finished": True, "correct": None}
    prompt_ids = list(range(6, 6 + prompt))
    ids = {"prompt_ids": prompt_ids, "response_ids": tokens, "n_tokens": length}
    return Response(**{**row, "problem_id": problem, "status": None, **ids, **values})

"""A random model whose tokens include whole boxed digits, so that some of what it samples is right."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

BOXES = [f"\\boxed{{{digit}}}" for digit in range(4)]
TEMPLATE = (
    "{% for m in messages %}<s>{{m['role']}}\n{{m['content']}}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/, model.json and benchmark.parquet (12 problems, prompts of two lengths)."""
    folder = tmp_path_factory.mktemp("tiny")
    characters = list("0123456789+-=? abcdefghijklmnopqrstuvwxyz\n")
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *characters, *BOXES])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(pattern="", behavior="isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.15,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder / "model")
    description = {"name": "tiny", "path": str(folder / "model"), "revision": None, "prompt": "plain"}
    (folder / "model.json").write_text(json.dumps(description))
    rows = [problem_row(index) for index in range(12)]
    pd.DataFrame(rows).to_parquet(folder / "benchmark.parquet")
    return folder


def problem_row(index: int) -> dict:
    problem = f"what is {index}+{index}?" + (" tell me please" if index % 3 == 0 else "")
    messages = [{"role": "user", "content": problem}]
    if index % 2:
        messages.insert(0, {"role": "system", "content": "be brief\n"})
    answer = str(index % len(BOXES))
    return {
        "data_source": "digits",
        "prompt": messages,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {
            "index": index,
            "split": "test",
            "id": f"digits-{index}",
            "problem": problem,
            "answer": answer,
        },
    }


@pytest.fixture
def spec() -> dict:
    return {
        "samples": 4,
        "max_new_tokens": 24,
        "batch_size": 16,
        "pass_at_k": [1, 2, 4],
        "bootstrap": {"resamples": 500, "level": 0.95},
        "seed": 3,
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every sample that a sampler is asked for."""
    from bupo.evaluation import sampling

    asked: list[tuple[str, int]] = []
    original = sampling.HuggingFaceSampler.sample

    def counting(self, wanted, *others):
        asked.extend((one.problem_id, one.sample) for one in wanted)
        return original(self, wanted, *others)

    monkeypatch.setattr(sampling.HuggingFaceSampler, "sample", counting)
    return asked

"""The examples of docs/internal-policies.md and of the README, run from top to bottom with a tiny model."""

import re
import runpy
from types import SimpleNamespace

import pytest
import torch
import transformers
from tiny_decoders import tiny_decoder

from bupo.policies import Decoder
from bupo.policies.architectures import ARCHITECTURES

LAYERS, TOKENS = 8, 20


def blocks_of(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def loading(monkeypatch, kind):
    """A tiny model and token ids, which transformers give for every name of a model."""
    model = tiny_decoder(kind, layers=LAYERS)
    ids = torch.randint(3, 301, (1, TOKENS), generator=torch.Generator().manual_seed(5))
    tokenizer = lambda text, return_tensors: SimpleNamespace(input_ids=ids)  # noqa: E731
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lambda name: model)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda name: tokenizer)
    return model, ids


def test_the_example_of_the_readme_runs_by_itself(root, tmp_path, monkeypatch):
    model, ids = loading(monkeypatch, "qwen3")
    (block,) = blocks_of(root / "README.md")
    (script := tmp_path / "example.py").write_text(block, encoding="utf-8")
    names = runpy.run_path(str(script))
    with torch.no_grad():
        state = model(input_ids=ids, output_hidden_states=True).hidden_states[6]
        policy = model.lm_head(state)[0].log_softmax(-1)
    torch.testing.assert_close(names["entropy"], -(policy.exp() * policy).sum(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_the_examples_run_and_agree(root, tmp_path, monkeypatch, kind):
    model, ids = loading(monkeypatch, kind)
    monkeypatch.setattr("bupo.policies.architectures.ARCHITECTURES", known := dict(ARCHITECTURES))
    names, script = {}, tmp_path / "example.py"
    blocks = blocks_of(root / "docs/internal-policies.md")
    assert len(blocks) == 5
    gradients = []
    for block in blocks:
        model.zero_grad(set_to_none=True)
        script.write_text(block, encoding="utf-8")
        names = runpy.run_path(str(script), names)
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert names["entropy"].shape == (TOKENS,)
    count = TOKENS - 8
    assert names["change"].shape == names["nll"].shape == (count,)
    assert names["later"].shape == (LAYERS - 6, count)
    with torch.no_grad():
        own = model(input_ids=ids).logits[0, 7:-1].log_softmax(-1).gather(1, ids[0, 8:, None])[:, 0]
    torch.testing.assert_close(-names["nll"], own, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(names["found"].log_prob, names["log_prob"], rtol=1e-4, atol=1e-4)
    assert gradients[2].keys() == gradients[3].keys()
    for name, gradient in gradients[2].items():
        torch.testing.assert_close(gradients[3][name], gradient, rtol=1e-3, atol=1e-4)
    assert known["glm4"] and Decoder(tiny_decoder("glm4"))


def test_every_architecture_is_named(root):
    text = (root / "docs" / "internal-policies.md").read_text(encoding="utf-8")
    section = text.split("## Architectures")[1].split("## Adding")[0]
    names = {
        "gemma2": "Gemma 2",
        "gemma3": "the language model of the ones with",
        "gemma3_text": "Gemma 3 (text models",
        "llama": "Llama 3",
        "mistral": "Mistral",
        "olmo2": "OLMo 2",
        "phi3": "Phi-3",
        "qwen2": "Qwen2 and 2.5",
        "qwen3": "Qwen3,",
        "qwen3_moe": "Qwen3-MoE",
    }
    assert names.keys() == ARCHITECTURES.keys()
    assert all(name in " ".join(section.split()) for name in names.values())

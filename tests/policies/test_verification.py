"""What the check at load refuses: one sentence each."""

from dataclasses import replace

import pytest
import torch
from tiny_decoders import KINDS, tiny_decoder
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from bupo.errors import UserError
from bupo.policies import Decoder
from bupo.policies.architectures import ARCHITECTURES, GEMMA, POST_NORM, PRE_NORM

DTYPES = (torch.float32, torch.bfloat16)
PLAIN_GRANITE = {
    "residual_multiplier": 1.0,
    "embedding_multiplier": 1.0,
    "logits_scaling": 1.0,
    "attention_multiplier": 0.35,
}


def refusal(model):
    with pytest.raises(UserError) as error:
        Decoder(model)
    text = str(error.value)
    assert "\n" not in text and type(model).__name__ in text
    return text


@pytest.mark.parametrize("kind", ["gpt2", "granite", "cohere"])
def test_an_unknown_architecture_is_refused(kind):
    sizes = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model(kind, **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    text = refusal(AutoModelForCausalLM.from_config(config))
    assert f"model_type '{kind}', whose residual stream is not described" in text and "qwen3_moe" in text


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("setting", "value", "wrong"),
    [
        (
            "residual_multiplier",
            0.22,
            "layer 1's FFN does not read its input plus attention through post_attention",
        ),
        ("embedding_multiplier", 12.0, "the embedding does not give what layer 1 reads"),
        ("logits_scaling", 8.0, "final norm and unembedding do not give the model's own logits"),
    ],
)
def test_scales_beside_the_residual_stream_are_noticed(monkeypatch, setting, value, wrong, dtype):
    monkeypatch.setitem(ARCHITECTURES, "granite", PRE_NORM)
    Decoder(tiny_decoder("granite", **PLAIN_GRANITE).to(dtype))
    assert wrong in refusal(tiny_decoder("granite", **PLAIN_GRANITE | {setting: value}).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_ffn_beside_attention_is_noticed(monkeypatch, dtype):
    monkeypatch.setitem(ARCHITECTURES, "cohere", replace(PRE_NORM, ffn_norm="input_layernorm"))
    text = refusal(tiny_decoder("cohere", logit_scale=1.0).to(dtype))
    assert "layer 1's FFN does not read its input plus attention" in text


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "description", "wrong"),
    [
        ("gemma2", replace(GEMMA, softcap=None), "do not give the model's own logits"),
        ("gemma2", PRE_NORM, "layer 1's FFN does not read its input plus attention"),
        ("gemma2", replace(GEMMA, attention_norm=None), "layer 1's attention does not read its input"),
        ("gemma2", replace(GEMMA, ffn_added="mlp"), "layer 1 is not input plus attention plus FFN"),
        ("gemma2", replace(GEMMA, final_norm="layers.0.input_layernorm"), "does not end with its final norm"),
        ("olmo2", PRE_NORM, "no module 'model.layers.0.input_layernorm'"),
        ("llama", POST_NORM, "no module 'model.layers.0.post_feedforward_layernorm'"),
        ("llama", replace(PRE_NORM, decoder="model.language_model"), "no module 'model.language_model'"),
        ("llama", replace(PRE_NORM, layers="embed_tokens"), "model.embed_tokens is not a list of layers"),
    ],
)
def test_a_wrong_description_is_noticed(monkeypatch, kind, description, wrong, dtype):
    monkeypatch.setitem(ARCHITECTURES, kind, description)
    assert wrong in refusal(tiny_decoder(kind).to(dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_that_adds_something_else_is_noticed(kind):
    model = tiny_decoder(kind)
    Decoder(model).layers[1].register_forward_hook(lambda m, a, out: out * 1.001)
    assert "layer 2 is not input plus attention plus FFN" in refusal(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_final_policy_that_is_not_reproduced_is_noticed(kind):
    model = tiny_decoder(kind)
    model.lm_head.register_forward_hook(lambda m, a, out: 30 * torch.tanh(out / 30))
    assert "do not give the model's own logits" in refusal(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_unembedding_is_refused(kind):
    assert "has no unembedding 'lm_head'" in refusal(AutoModel.from_config(tiny_decoder(kind).config))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_in_the_weights_is_refused(kind, value):
    model = tiny_decoder(kind)
    name, weight = next((n, p) for n, p in model.named_parameters() if "layers.2" in n and "down_proj" in n)
    weight.data[(0,) * weight.dim()] = value
    assert f"the weight {name} holds NaN or infinity" in refusal(model)


def test_an_unembedding_that_is_not_a_plain_matrix_is_refused():
    model = tiny_decoder("llama")
    model.lm_head.bias = nn.Parameter(torch.ones(301))
    assert "has a bias" in refusal(model)
    model.lm_head.bias = None
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.to(torch.int8), requires_grad=False)
    assert "quantised to torch.int8" in refusal(model)


def test_a_missing_part_is_refused():
    model = tiny_decoder("llama")
    del model.model.norm
    assert "no module 'model.norm'" in refusal(model)

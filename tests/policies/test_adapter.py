import pytest
import torch
from torch import nn
from transformers import AutoModel, GPT2Config, GPT2LMHeadModel

from bupo.errors import UserError
from bupo.policies import Decoder, LayerIndex


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_states_are_those_of_hugging_face(model, ids, dtype):
    model = model.to(dtype)
    states = Decoder(model).states(ids[0])
    with torch.no_grad():
        out = model(input_ids=ids[:1], output_hidden_states=True)
    assert torch.equal(states.embedding, out.hidden_states[0][0])
    for k in range(1, 5):
        assert torch.equal(states.of("layer", k), out.hidden_states[k][0])
    assert torch.equal(states.final, out.hidden_states[5][0])
    assert torch.equal(model.model.norm(states.of("layer", 5)), out.hidden_states[5][0])


def test_residual_sums_close(model, ids):
    states = Decoder(model.double()).states(ids[0])
    total = states.embedding + states.all("attention").sum(0) + states.all("ffn").sum(0)
    torch.testing.assert_close(states.of("layer", 5), total, rtol=1e-12, atol=1e-12)


def test_inputs_are_the_normed_states(model, ids):
    states = Decoder(model).states(ids[0])
    below = states.embedding
    for k, layer in enumerate(model.model.layers, start=1):
        assert torch.equal(states.of("attention_input", k), layer.input_layernorm(below))
        middle = below + states.of("attention", k)
        assert torch.equal(states.of("ffn_input", k), layer.post_attention_layernorm(middle))
        assert torch.equal(states.of("ffn", k), layer.mlp(states.of("ffn_input", k)))
        below = states.of("layer", k)


def test_positions_choose_rows_of_the_same_states(model, ids):
    decoder = Decoder(model)
    whole, some = decoder.states(ids[0]), decoder.states(ids[:1], slice(4, 9))
    assert some.parts.shape == (5, 5, 5, 32)
    assert torch.equal(some.parts, whole.parts[:, :, 4:9])
    assert torch.equal(some.embedding, whole.embedding[4:9]) and torch.equal(some.final, whole.final[4:9])


def test_no_hook_and_no_mode_is_left(model, ids):
    model.train()
    Decoder(model).states(ids[0])
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_layer_numbers_are_checked(model, ids):
    states = Decoder(model).states(ids[0])
    for wrong in (0, 6, LayerIndex(2, 36)):
        with pytest.raises(ValueError, match="layer"):
            states.of("layer", wrong)
    with pytest.raises(ValueError, match="policy 'mlp' is unknown"):
        states.of("mlp", 1)


def test_many_layers(model_factory, ids):
    decoder = Decoder(model_factory("qwen3", layers=41))
    assert decoder.states(ids[0]).parts.shape == (41, 5, 17, 32)


def sentence(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_an_unknown_architecture_is_refused():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2))
    with pytest.raises(UserError) as error:
        Decoder(model)
    assert "model_type 'gpt2'" in sentence(error) and "qwen3" in sentence(error)


def test_a_model_without_unembedding_is_refused(model):
    with pytest.raises(UserError) as error:
        Decoder(AutoModel.from_config(model.config))
    assert "has no unembedding 'lm_head'" in sentence(error)


def test_an_unembedding_with_a_bias_is_refused(model):
    model.lm_head.bias = nn.Parameter(torch.ones(301))
    with pytest.raises(UserError, match="bias"):
        Decoder(model)


def test_nan_in_the_weights_is_refused(model):
    with torch.no_grad():
        model.model.layers[2].mlp.up_proj.weight[3, 5] = float("nan")
    with pytest.raises(UserError) as error:
        Decoder(model)
    assert "model.layers.2.mlp.up_proj.weight holds NaN" in sentence(error)


def test_a_residual_stream_that_does_not_close_is_refused(model):
    model.model.layers[1].register_forward_hook(lambda m, a, out: out * 1.001)
    with pytest.raises(UserError) as error:
        Decoder(model)
    assert "layer 2 is not input plus attention plus FFN" in sentence(error)


def test_a_final_policy_that_is_not_reproduced_is_refused(model):
    model.lm_head.register_forward_hook(lambda m, a, out: 30 * torch.tanh(out / 30))
    with pytest.raises(UserError) as error:
        Decoder(model)
    assert "do not give the model's own logits" in sentence(error)


def test_a_missing_part_is_refused(model):
    del model.model.norm
    with pytest.raises(UserError, match=r"no module 'model\.norm'"):
        Decoder(model)


def test_empty_positions_and_batches_are_refused(model, ids):
    decoder = Decoder(model)
    with pytest.raises(UserError, match="the response is empty"):
        decoder.states(ids[0], slice(5, 5))
    with pytest.raises(UserError, match=r"not \[2, 17\]"):
        decoder.states(ids)

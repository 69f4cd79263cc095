import pytest
import torch

from bupo.errors import UserError
from bupo.policies import Decoder, LayerIndex


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


def test_no_hook_is_left(model, ids):
    Decoder(model).states(ids[0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_layer_numbers_are_checked(model, ids):
    states = Decoder(model).states(ids[0])
    for wrong in (0, 6, LayerIndex(2, 36)):
        with pytest.raises(ValueError, match="layer"):
            states.of("layer", wrong)
    with pytest.raises(ValueError, match="policy 'mlp' is unknown"):
        states.of("mlp", 1)


def test_empty_positions_and_batches_are_refused(model, ids):
    decoder = Decoder(model)
    with pytest.raises(UserError, match="the response is empty"):
        decoder.states(ids[0], slice(5, 5))
    with pytest.raises(UserError, match=r"not \[2, 17\]"):
        decoder.states(ids)


def test_a_layer_that_does_not_run_is_refused(model, ids):
    decoder = Decoder(model)
    model.config.num_hidden_layers = 3
    with pytest.raises(
        UserError, match=r"did not run layer 4 of 5 as described \(no attention_input was seen\)"
    ):
        decoder.states(ids[0])
    with pytest.raises(UserError, match="did not run layer 4 of 5"):
        Decoder(model)


def test_modes_are_left_as_they_were(model):
    model.train()
    model.model.layers[1].eval()
    before = [module.training for module in model.modules()]
    Decoder(model)
    assert [module.training for module in model.modules()] == before

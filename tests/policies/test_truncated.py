import os

import pytest
import torch
from torch import distributed as dist

from bupo.errors import UserError
from bupo.policies import LayerIndex, truncated_forward


def logits_of(model, ids, **options):
    with torch.no_grad():
        return model(input_ids=ids, **options).logits


@pytest.mark.parametrize("k", range(1, 6))
@pytest.mark.parametrize("use_cache", [False, True])
def test_logits_are_the_unembedded_state_bitwise(model, ids, k, use_cache):
    layer = LayerIndex(k, 5)
    states = {}
    hook = model.model.layers[k - 1].register_forward_hook(lambda m, a, out: states.update(raw=out))
    whole = logits_of(model, ids)
    hook.remove()
    with torch.no_grad():
        raw = model.lm_head(states["raw"])
        normed = model.lm_head(model.model.norm(states["raw"]))
    mask = torch.ones_like(ids)
    with truncated_forward(model, layer):
        assert torch.equal(logits_of(model, ids, use_cache=use_cache, attention_mask=mask), raw)
    with truncated_forward(model, layer, "final_norm"):
        assert torch.equal(logits_of(model, ids, use_cache=use_cache), normed)
    assert torch.equal(logits_of(model, ids), whole)
    if k == 5:
        assert torch.equal(normed, whole) and not torch.equal(raw, whole)


def test_log_probs_equal_those_of_hugging_face_hidden_states(model, ids):
    with torch.no_grad():
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states
    for k in range(1, 5):
        layer = LayerIndex(k, 5)
        with truncated_forward(model, layer):
            mine = logits_of(model, ids).log_softmax(-1)
        assert torch.equal(mine, model.lm_head(hidden[layer.hidden_states_index]).detach().log_softmax(-1))


def test_layers_above_do_not_run(model, ids):
    ran = []
    for number, module in enumerate(model.model.layers, start=1):
        module.register_forward_hook(lambda m, a, out, number=number: ran.append(number))
    with truncated_forward(model, LayerIndex(2, 5)):
        logits_of(model, ids)
    assert ran == [1, 2]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("lens", ["raw", "final_norm"])
def test_gradients(model_factory, ids, checkpointing, tied, lens):
    model = model_factory("qwen3", tied=tied).train()
    with_hook = {}
    model.model.layers[2].register_forward_hook(lambda m, a, out: with_hook.update(state=out))
    loss = model(input_ids=ids).logits.sum() * 0  # the whole forward, cut at layer 3 by hand
    state = with_hook["state"]
    state = model.model.norm(state) if lens == "final_norm" else state
    loss = -model.lm_head(state).log_softmax(-1)[..., 5].mean()
    loss.backward()
    expected = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with truncated_forward(model, LayerIndex(3, 5), lens):
        loss = -model(input_ids=ids).logits.log_softmax(-1)[..., 5].mean()
    loss.backward()  # outside the block on purpose: gradient checkpointing runs layers again here
    for name, parameter in model.named_parameters():
        above = (
            ".layers.3." in name or ".layers.4." in name or (lens == "raw" and name == "model.norm.weight")
        )
        if above:
            assert parameter.grad is None, name
        else:
            assert torch.equal(parameter.grad, expected[name]), name


def test_restored_after_an_exception(model, ids):
    whole = logits_of(model, ids)
    with pytest.raises(RuntimeError, match="stop"), truncated_forward(model, LayerIndex(1, 5)):
        raise RuntimeError("stop")
    assert model.config.num_hidden_layers == 5
    assert "forward" not in model.model.norm.__dict__
    assert torch.equal(logits_of(model, ids), whole)


def test_a_forward_that_was_replaced_before_is_put_back(model, ids):
    kept = model.model.norm.forward = lambda states: states * 2
    with truncated_forward(model, LayerIndex(2, 5)):
        logits_of(model, ids)
    assert model.model.norm.forward is kept


def test_blocks_nest(model, ids):
    with truncated_forward(model, LayerIndex(3, 5)):
        three = logits_of(model, ids)
        with truncated_forward(model, LayerIndex(2, 5)):
            assert not torch.equal(logits_of(model, ids), three)
        assert torch.equal(logits_of(model, ids), three)


def test_none_changes_nothing(model, ids):
    whole = logits_of(model, ids)
    with truncated_forward(model, None):
        assert torch.equal(logits_of(model, ids), whole)


def test_sliding_window_layers_keep_their_own_masks(model_factory, ids):
    kinds = ["full_attention", "sliding_attention"] * 2 + ["full_attention"]
    model = model_factory("qwen3", use_sliding_window=True, sliding_window=4, layer_types=kinds)
    with torch.no_grad():
        hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[2]
        with truncated_forward(model, LayerIndex(2, 5)):
            assert torch.equal(logits_of(model, ids), model.lm_head(hidden))


def test_refusals(model):
    with pytest.raises(ValueError, match="has 5"), truncated_forward(model, LayerIndex(6, 5)):
        pass
    with pytest.raises(ValueError, match="layer 3 of 6 was asked of a model with 5 layers"):  # noqa: SIM117
        with truncated_forward(model, LayerIndex(3, 6)):
            pass
    with pytest.raises(ValueError, match="lens 'normed' is unknown"):  # noqa: SIM117
        with truncated_forward(model, LayerIndex(3, 5), "normed"):
            pass
    with pytest.raises(UserError, match="Linear has model_type None"):  # noqa: SIM117
        with truncated_forward(torch.nn.Linear(2, 2), LayerIndex(3, 5)):
            pass


@pytest.mark.parametrize("wrong", [0, -1, 6, True, 2.0, "3"])
def test_layer_numbers_out_of_range(wrong):
    with pytest.raises(ValueError):
        LayerIndex(wrong, 5)


def test_layer_index_converts():
    layer = LayerIndex(5, 5)
    assert (layer.zero_based, layer.hidden_states_index, layer.is_last, str(layer)) == (
        4,
        5,
        True,
        "layer 5 of 5",
    )


@pytest.fixture
def one_process_group():
    if dist.is_initialized():
        pytest.skip("another process group is up")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("tied", [False, True])
def test_inside_fully_shard(model_factory, ids, one_process_group, tied):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = model_factory("qwen3", tied=tied).train()
    with truncated_forward(model, LayerIndex(2, 5)):
        expected = logits_of(model, ids)
    mesh = init_device_mesh("cpu", (1,))
    for module in model.model.layers:
        fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    with truncated_forward(model, LayerIndex(2, 5)):
        logits = model(input_ids=ids).logits
        logits.log_softmax(-1)[..., 5].mean().backward()
    assert torch.equal(logits.detach(), expected)
    touched = {
        name.split(".")[2]
        for name, p in model.named_parameters()
        if ".layers." in name and p.grad is not None
    }
    assert touched == {"0", "1"}
    assert model.model.norm.weight.grad is None
    assert model.model.embed_tokens.weight.grad is not None

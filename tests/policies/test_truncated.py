import os

import pytest
import torch
from torch import distributed as dist

from bupo.errors import UserError
from bupo.policies import LayerIndex, truncated_forward


def logits_of(model, ids, **options):
    with torch.no_grad():
        return model(input_ids=ids, **options).logits


def test_layers_above_do_not_run(model, ids):
    ran = []
    for number, module in enumerate(model.model.layers, start=1):
        module.register_forward_hook(lambda m, a, out, number=number: ran.append(number))
    with truncated_forward(model, LayerIndex(2, 5)):
        logits_of(model, ids)
    assert ran == [1, 2]


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
        with truncated_forward(model, LayerIndex(4, 5)):
            assert not torch.equal(logits_of(model, ids), three)
        assert torch.equal(logits_of(model, ids), three)


def test_none_changes_nothing(model, ids):
    whole = logits_of(model, ids)
    with truncated_forward(model, None):
        assert torch.equal(logits_of(model, ids), whole)


class Everything(torch.nn.ModuleList):
    """Layers of a decoder that iterates them all, whatever its config says."""

    def __getitem__(self, index):
        return self if isinstance(index, slice) else super().__getitem__(index)


def test_a_decoder_that_runs_on_is_refused(model, ids):
    model.model.layers = Everything(model.model.layers)
    with pytest.raises(UserError, match="runs on after layer 2 of 5 though its config says"):  # noqa: SIM117
        with truncated_forward(model, LayerIndex(2, 5)):
            logits_of(model, ids)
    assert not any(module._forward_pre_hooks for module in model.modules())
    logits_of(model, ids)


def test_padding_changes_nothing(model_factory, ids):
    model = model_factory("gemma2")
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), ids], 1)
    mask = (padded != 0).long()
    with truncated_forward(model, LayerIndex(3, 5)):
        mine = logits_of(model, padded, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp_min(0))
        torch.testing.assert_close(mine[:, 3:], logits_of(model, ids), rtol=1e-4, atol=1e-4)


def test_generation_is_layer_ks(model, ids):
    def greedy(**options):
        return model.generate(ids[:1], max_new_tokens=6, do_sample=False, eos_token_id=None, **options)

    with truncated_forward(model, LayerIndex(2, 5)):
        assert torch.equal(greedy(use_cache=True), greedy(use_cache=False))


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


@pytest.mark.parametrize("wrong", [0, -1, 6])
def test_layer_numbers_out_of_range(wrong):
    with pytest.raises(ValueError) as error:
        LayerIndex(wrong, 5)
    assert str(error.value) == f"layer {wrong} does not exist: layers count from 1 and this model has 5"


@pytest.mark.parametrize("wrong", [True, 2.0, "3"])
def test_layer_numbers_that_are_none(wrong):
    with pytest.raises(ValueError, match=r"^layer number .* is not an integer$"):
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


@pytest.mark.parametrize("kind", ["qwen3", "gemma2", "olmo2", "qwen3_moe"])
@pytest.mark.parametrize("tied", [False, True])
def test_inside_fully_shard(model_factory, ids, one_process_group, kind, tied):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = model_factory(kind, tied=tied).train()
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

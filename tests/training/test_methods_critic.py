"""The critic of PPO in verl's value engine: the same in every run, and right however a batch is cut."""

import pytest
import torch
from engine_cases import make_batch, make_engine, save_kind, whole

from bupo.errors import UserError

pytestmark = pytest.mark.usefixtures("process_group")

VALUE = "value_model"


@pytest.fixture(scope="module", params=[("qwen3", True), ("llama", False)], ids=str)
def folder(request, tmp_path_factory):
    return save_kind(tmp_path_factory.mktemp("kind"), *request.param)


def weights(engine):
    return {name: whole(each) for name, each in engine.module.named_parameters()}


def values(engine, **extra):
    batch = make_batch(chunked=False, packed=engine.use_remove_padding, **extra)
    with engine.eval_mode():
        return engine.infer_batch(batch)["model_output"]["values"].values()


def squared(model_output, data, dp_group=None):
    return (model_output["values"].values() - 1).square().sum() / 50, {}


def test_the_head_is_the_same_however_torch_is_seeded(folder):
    torch.manual_seed(1)
    one = weights(make_engine(folder, kind=VALUE))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = weights(make_engine(folder, kind=VALUE))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert one["score.weight"].std() > 0


def test_the_head_hangs_on_the_seed_and_the_body_is_the_models(folder):
    from transformers import AutoModelForCausalLM

    one, two = (weights(make_engine(folder, kind=VALUE, seed=seed)) for seed in (1, 2))
    assert not torch.equal(one["score.weight"], two["score.weight"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    body = {name: each for name, each in model.named_parameters() if name.startswith("model.")}
    assert body.keys() == {name for name in one if name.startswith("model.")}
    assert all(torch.equal(one[name], each) and torch.equal(two[name], each) for name, each in body.items())


def test_values_are_those_of_the_final_state_under_the_head(folder):
    from transformers import AutoModelForCausalLM

    engine = make_engine(folder, kind=VALUE)
    head = weights(engine)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = []
    for row in make_batch()["input_ids"].unbind():
        with torch.no_grad():
            state = model.model(row[None]).last_hidden_state[0]
        found.append(state @ head["score.weight"][0] + head["score.bias"][0])
    torch.testing.assert_close(values(engine), torch.cat(found), atol=2e-5, rtol=0)


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
def test_how_a_batch_is_cut_changes_nothing(folder, packed, checkpointing):
    engines = make_engine(folder, kind=VALUE), make_engine(folder, packed, checkpointing, kind=VALUE)
    cuts = {"micro_batch_size_per_gpu": 4}, {"use_dynamic_bsz": True, "max_token_len_per_gpu": 24}
    torch.testing.assert_close(
        values(engines[1], **cuts[1]), values(engines[0], **cuts[0]), atol=2e-5, rtol=0
    )
    gradients = []
    for engine, cut in zip(engines, cuts, strict=True):
        with engine.train_mode():
            engine.optimizer_zero_grad()
            engine.forward_backward_batch(
                make_batch(chunked=False, packed=engine.use_remove_padding, **cut), squared
            )
            gradients.append({name: whole(each.grad) for name, each in engine.module.named_parameters()})
    for name, value in gradients[0].items():
        assert (gradients[1][name] - value).abs().max() <= 2e-5 * value.abs().max(), name


def test_a_checkpoint_brings_the_critic_back(folder, tmp_path):
    def update(engine, times):
        with engine.train_mode():
            for _ in range(times):
                engine.train_batch(make_batch(chunked=False), squared)

    engine = make_engine(folder, kind=VALUE)
    update(engine, 2)
    engine.save_checkpoint(str(tmp_path / "saved"))
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} >= {".pt"}
    other = make_engine(folder, kind=VALUE)
    other.load_checkpoint(str(tmp_path / "saved"), del_local_after_load=False)
    for each in (engine, other):
        update(each, 2)
    one, two = weights(engine), weights(other)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_architecture_without_a_value_for_each_token_is_told(tmp_path):
    with pytest.raises(UserError, match="transformers has no olmo2 with a value for each token"):
        make_engine(save_kind(tmp_path, "olmo2", False), kind=VALUE)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_verl_takes_our_engine(monkeypatch, device):
    from verl.workers.engine import EngineRegistry

    from bupo.training.critic import ValueEngine
    from bupo.training.worker import check_engine

    if device == "cuda":
        monkeypatch.setenv("VERL_ENGINE_DEVICE", "cuda")
        monkeypatch.setenv("VERL_ENGINE_VENDOR", "nvidia")
    assert issubclass(EngineRegistry.get_engine_cls(VALUE, "fsdp2"), ValueEngine)
    check_engine("fsdp2", VALUE)
    key = ("cuda", "nvidia") if device == "cuda" else "cpu"
    monkeypatch.setitem(EngineRegistry._engines[VALUE]["fsdp2"], key, object)
    with pytest.raises(RuntimeError, match="verl takes object"):
        check_engine("fsdp2", VALUE)

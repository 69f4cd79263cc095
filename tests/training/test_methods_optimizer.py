"""Learning rates and frozen parts in verl's engine, and an optimiser that starts anew."""

import pytest
import torch
from engine_cases import LAYERS, loss, make_batch, make_engine, save_kind, whole

from bupo.errors import UserError
from bupo.training.learning_rates import PARTS, LearningRates, parts_of

pytestmark = pytest.mark.usefixtures("process_group")

KINDS = {"qwen3 tied": ("qwen3", True), "llama": ("llama", False), "gemma2 tied": ("gemma2", True)}
FROZEN = {"split": 2, "lower": 0.0}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return save_kind(tmp_path_factory.mktemp("kind"), *KINDS[request.param])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_kind(tmp_path_factory.mktemp("tiny"), "qwen3", False)


def update(engine, policy="full", times=1):
    with engine.train_mode():
        for _ in range(times):
            outputs = engine.train_batch(make_batch(policy, chunked=False), loss)
    return outputs["metrics"]


def weights(engine):
    return {name: whole(each) for name, each in engine.module.named_parameters()}


def changed(engine, before):
    return {name for name, each in weights(engine).items() if not torch.equal(each, before[name])}


def with_state(engine):
    return {name for name, each in engine.module.named_parameters() if engine.optimizer.state.get(each)}


def in_layers(names, *numbers):
    return {name for name in names if any(f"layers.{number - 1}." in name for number in numbers)}


def test_frozen_layers_stay_bitwise_and_cost_the_optimiser_nothing(folder):
    engine = make_engine(folder, **FROZEN)
    before = weights(engine)
    frozen = in_layers(before, 1, 2)
    with engine.train_mode():
        engine.optimizer_zero_grad()
        engine.forward_backward_batch(make_batch("full", chunked=False), loss)
        without = {name for name, each in engine.module.named_parameters() if each.grad is None}
    assert without == frozen
    update(engine, times=3)
    assert changed(engine, before) == set(before) - frozen
    assert with_state(engine) == set(before) - frozen


def test_what_is_not_frozen_learns_as_if_nothing_were(folder):
    """Gradients go through frozen layers; only the clipping knows fewer of them."""
    engines = [make_engine(folder, **rates) for rates in (FROZEN, {})]
    found = []
    for engine in engines:
        engine.optimizer_config.clip_grad = 1e9
        update(engine)
        found.append(weights(engine))
    for name in set(found[0]) - in_layers(found[0], 1, 2):
        assert torch.equal(found[0][name], found[1][name]), name


def test_embedding_and_unembedding_can_be_frozen_too(folder):
    engine = make_engine(folder, **FROZEN, embedding=0.0, unembedding=0.0)
    before = weights(engine)
    update(engine, times=2)
    names = in_layers(before, 3, 4) | {"model.norm.weight"}
    assert changed(engine, before) == with_state(engine) == names


def test_the_first_update_is_in_proportion_to_the_rate(folder):
    rates = {"split": 3, "upper": 0.1, "final_norm": 0.5}
    engines = [make_engine(folder, **options) for options in (rates, {})]
    steps = []
    for engine in engines:
        before = weights(engine)
        update(engine)
        # decoupled weight decay is in proportion to the rate too
        steps.append({name: each - before[name] for name, each in weights(engine).items()})
    part_of = parts_of(engines[0].module, 3)
    for name, parameter in engines[0].module.named_parameters():
        factor = {"upper": 0.1, "final_norm": 0.5}.get(part_of[parameter], 1.0)
        torch.testing.assert_close(steps[0][name], factor * steps[1][name], rtol=2e-3, atol=1e-6)
    assert {part_of[each] for each in engines[0].module.parameters()} >= {"lower", "upper", "final_norm"}


def test_rates_of_one_are_verls_own_optimiser(tiny):
    engine = make_engine(tiny, split=2)
    assert [list(group["params"]) for group in engine.optimizer.param_groups] == [
        list(engine.module.parameters())
    ]
    assert not any(key.startswith("lr_") for key in update(engine))


def test_the_metric_names_the_rate_of_each_part(tiny):
    engine = make_engine(tiny, split=2, lower=0.0, upper=0.1)
    metrics = update(engine)
    assert {name: metrics[f"lr_{name}"] for name in PARTS} == {
        "lower": [0.0],
        "upper": [pytest.approx(1e-3)],
        "embedding": [1e-2],
        "final_norm": [1e-2],
        "unembedding": [1e-2],
    }
    assert engine.lr_scheduler_step() == pytest.approx(1e-2)


def test_the_metric_is_the_rate_that_the_updates_had(tiny):
    engine = make_engine(tiny, split=2, upper=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(engine.optimizer, lambda step: 1 / (1 + step))
    engine.lr_scheduler = scheduler
    assert [engine.lr_scheduler_step() for _ in range(2)] == pytest.approx([1e-2, 5e-3])
    assert update(engine)["lr_upper"] == [pytest.approx(1e-3 / 3)]


@pytest.mark.parametrize("policy", ["full", f"3/{LAYERS}/raw"])
def test_a_checkpoint_brings_the_groups_back(tiny, tmp_path, policy):
    rates = {"split": 2, "lower": 0.0, "upper": 0.1}
    engine = make_engine(tiny, **rates)
    update(engine, policy, times=2)
    engine.save_checkpoint(str(tmp_path / "saved"))
    other = make_engine(tiny, **rates)
    other.load_checkpoint(str(tmp_path / "saved"), del_local_after_load=False)
    for each in (engine, other):
        update(each, times=2)
    one, two = weights(engine), weights(other)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_fresh_optimiser_forgets_the_moments_and_nothing_else(tiny):
    policy = f"2/{LAYERS}/raw"
    engine, kept = make_engine(tiny), make_engine(tiny)
    for each in (engine, kept):
        update(each, policy, times=2)
    before = weights(engine)
    engine.reset_optimizer()
    assert with_state(engine) == set()
    assert changed(engine, before) == set()
    moments = {name for name in with_state(kept) if in_layers({name}, 1, 2)}
    assert moments
    for each in (engine, kept):
        update(each)
    steps = {
        name: engine.optimizer.state[each]["step"].item() for name, each in engine.module.named_parameters()
    }
    assert set(steps.values()) == {1.0}
    kept_steps = {
        name: kept.optimizer.state[each]["step"].item() for name, each in kept.module.named_parameters()
    }
    assert {kept_steps[name] for name in moments} == {3.0}
    assert {kept_steps[name] for name in in_layers(kept_steps, 3, 4)} == {1.0}
    assert changed(engine, weights(kept)) >= moments


def test_two_rates_for_one_matrix_are_refused(tmp_path):
    with pytest.raises(UserError, match="they are one matrix"):
        make_engine(save_kind(tmp_path, "qwen3", True), embedding=0.0)


def test_every_parameter_of_every_architecture_has_a_part(tmp_path):
    for kind in ("qwen2", "qwen3", "llama", "mistral", "gemma2", "gemma3_text", "olmo2"):
        engine = make_engine(save_kind(tmp_path / kind, kind, False), split=1, upper=0.5)
        assert set(parts_of(engine.module, 1).values()) == set(PARTS)


def test_a_parameter_without_a_part_is_told(tiny):
    model = make_engine(tiny).module
    model.further = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match=r"further\.weight is neither in a layer"):
        parts_of(model, 1)


def test_rates_are_plain_only_if_all_are_one():
    assert LearningRates().plain and LearningRates(split=3).plain
    assert not LearningRates(final_norm=0.5).plain

"""verl's engine with our forward: is it the internal policy that is computed and trained?"""

from functools import partial

import pytest
import torch
from engine_cases import make_engine
from tiny_model import save_model

LENGTHS = [7, 12, 9, 15]
PROMPT = 3
LAYERS = 4


def batch(policy, temperature=1.0):
    from verl.utils import tensordict_utils as tu

    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(4, 50, (length,), generator=generator) for length in LENGTHS]
    jagged = partial(torch.nested.as_nested_tensor, layout=torch.jagged)
    data = tu.get_tensordict(
        {
            "input_ids": jagged(rows),
            "position_ids": jagged([torch.arange(length) for length in LENGTHS]),
            "loss_mask": jagged([torch.ones(length - PROMPT, dtype=torch.long) for length in LENGTHS]),
        },
        non_tensor_dict={
            "temperature": temperature,
            "calculate_entropy": True,
            "use_remove_padding": False,
            "use_dynamic_bsz": False,
            "micro_batch_size_per_gpu": 3,
            "use_fused_kernels": False,
            "global_batch_size": len(LENGTHS),
        },
    )
    if policy is not None:
        tu.assign_non_tensor(data, bupo_policy=policy)
    return data, rows


def internal(layer, lens="raw"):
    from bupo.policies import LayerIndex
    from bupo.training.engine import policy_name

    return policy_name(LayerIndex(layer, LAYERS), lens)


def loss(model_output, data, dp_group=None):
    return -model_output["log_probs"].values().sum() / 50, {}


def weights(engine):
    return {
        name: (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()
        for name, value in engine.module.state_dict().items()
    }


def train(engine, policy):
    with engine.train_mode():
        engine.train_batch(batch(policy)[0], loss)


def with_state(engine):
    """Names of the parameters that have optimiser state."""
    return {name for name, value in engine.module.named_parameters() if engine.optimizer.state.get(value)}


def above(name, layer):
    """Whether a parameter lies above layer ``layer``: in a higher layer or in the final norm."""
    parts = name.split(".")
    return name == "model.norm.weight" or (
        "layers" in parts and int(parts[parts.index("layers") + 1]) >= layer
    )


@pytest.fixture(scope="module", params=[("qwen3", True), ("qwen3", False), ("llama", False)], ids=str)
def folder(request, tmp_path_factory):
    architecture, tied = request.param
    return save_model(tmp_path_factory.mktemp("engine"), architecture, LAYERS, tied)


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_log_probs_and_entropy_are_those_of_the_policy_named(folder, checkpointing):
    from transformers import AutoModelForCausalLM

    from bupo.training.engine import named_policy

    engine = make_engine(folder, checkpointing=checkpointing)
    plain = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    states_of = {}
    hooks = [
        layer.register_forward_hook(
            lambda module, args, output, number=number: states_of.update({number: output})
        )
        for number, layer in enumerate(plain.model.layers, start=1)
    ]
    for policy in ("full", internal(1), internal(3), internal(2, "final_norm"), internal(LAYERS)):
        data, rows = batch(policy, temperature=0.7)
        with engine.eval_mode():
            output = engine.infer_batch(data)["model_output"]
        for number, row in enumerate(rows):
            with torch.no_grad():
                logits = plain(row[None]).logits[0]
                if policy != "full":
                    layer, lens = named_policy(policy)
                    states = states_of[layer.number][0]
                    logits = plain.lm_head(plain.model.norm(states) if lens == "final_norm" else states)
            log_policy = torch.log_softmax(logits / 0.7, -1)
            expected = log_policy[:-1].gather(-1, row[1:, None])[:, 0]
            torch.testing.assert_close(
                output["log_probs"][number][: len(row) - 1], expected, atol=2e-5, rtol=0
            )
            entropy = -(log_policy.exp() * log_policy).sum(-1)
            torch.testing.assert_close(output["entropy"][number], entropy, atol=2e-5, rtol=0)
    for hook in hooks:
        hook.remove()


@pytest.mark.usefixtures("process_group")
def test_hidden_states_of_hugging_face_say_the_same(folder):
    from transformers import AutoModelForCausalLM

    engine = make_engine(folder)
    plain = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    data, rows = batch(internal(2))
    with engine.eval_mode():
        log_probs = engine.infer_batch(data)["model_output"]["log_probs"]
    for number, row in enumerate(rows):
        with torch.no_grad():
            hidden = plain(row[None], output_hidden_states=True).hidden_states[2]
            expected = torch.log_softmax(plain.lm_head(hidden)[0], -1)[:-1].gather(-1, row[1:, None])[:, 0]
        torch.testing.assert_close(log_probs[number][: len(row) - 1], expected, atol=2e-5, rtol=0)


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_phase_one_leaves_everything_above_its_layer_alone(folder, checkpointing):
    engine, layer = make_engine(folder, checkpointing=checkpointing), 2
    before = weights(engine)
    for _ in range(3):
        train(engine, internal(layer))
    after = weights(engine)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not above(name, layer)}
    assert not any(above(name, layer) for name in with_state(engine))
    assert any("layers.0." in name for name in with_state(engine))

    train(engine, "full")
    full = weights(engine)
    assert all(not torch.equal(after[name], full[name]) for name in after)
    assert any(above(name, layer) for name in with_state(engine))


@pytest.mark.usefixtures("process_group")
def test_after_a_full_step_phase_one_moves_nothing_above_either(folder):
    """Optimiser state and weight decay of an earlier full step must not reach the layers above."""
    engine, layer = make_engine(folder), 1
    train(engine, "full")
    before = weights(engine)
    train(engine, internal(layer, "final_norm"))
    after = weights(engine)
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    assert unchanged == {name for name in before if above(name, layer) and name != "model.norm.weight"}


@pytest.mark.usefixtures("process_group")
def test_a_batch_that_names_no_policy_is_refused(folder):
    engine = make_engine(folder)
    with engine.eval_mode(), pytest.raises(ValueError, match="does not say which policy"):
        engine.infer_batch(batch(None)[0])


@pytest.mark.usefixtures("process_group")
def test_export_can_be_loaded_and_is_the_trained_model(folder, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    engine = make_engine(folder, tokenizer=True)
    train(engine, "full")
    target = tmp_path / ".model.partial"
    engine.save_checkpoint(str(target))
    model = AutoModelForCausalLM.from_pretrained(target)
    trained = weights(engine)
    for name, value in model.state_dict().items():
        assert torch.equal(value, trained[name]), name
    assert (target / "model.safetensors").exists()
    assert model.generation_config.eos_token_id == 3
    assert AutoTokenizer.from_pretrained(target).decode([5, 6]) == "12"

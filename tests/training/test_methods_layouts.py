"""How a batch is cut and packed changes nothing: log-probs, entropy and gradients of every policy are the same."""

import pytest
import torch
from engine_cases import LAYERS, make_batch, make_engine, save_kind, whole

pytestmark = pytest.mark.usefixtures("process_group")

KINDS = {
    "qwen3 tied": ("qwen3", True, {}),
    "qwen3": ("qwen3", False, {}),
    "llama": ("llama", False, {}),
    "gemma2 sliding": ("gemma2", True, {"sliding_window": 4}),
    "mistral sliding": ("mistral", False, {"sliding_window": 4}),
}
POLICIES = ["full", f"2/{LAYERS}/raw", f"3/{LAYERS}/final_norm"]
DYNAMIC = {"use_dynamic_bsz": True, "max_token_len_per_gpu": 24}
LAYOUTS = {
    "one sequence at a time": ({}, {"micro_batch_size_per_gpu": 1}),
    "checkpointing": ({"checkpointing": True}, {}),
    "dynamic": ({}, DYNAMIC),
    "packed": ({"packed": True}, {}),
    "packed, one micro-batch": ({"packed": True}, {"micro_batch_size_per_gpu": 4}),
    "packed, dynamic, checkpointing": ({"packed": True, "checkpointing": True}, DYNAMIC),
}


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    kind, tied, options = KINDS[request.param]
    return save_kind(tmp_path_factory.mktemp("kind"), kind, tied, **options)


def weighted(model_output, data, dp_group=None):
    """A loss in which each token's weight hangs on token and place; the last has no label."""
    ids, places = data["input_ids"], data["position_ids"].values()
    weights = (0.37 * ids.values() + 0.11 * places).sin()
    weights[ids.offsets()[1:] - 1] = 0
    return (weights * model_output["log_probs"].values()).sum(), {}


def found(engine, policy, **extra):
    """Log-probs and entropy of all tokens that have a label, and gradients."""
    batch = {"chunked": False, "packed": engine.use_remove_padding, **extra}
    with engine.eval_mode():
        output = engine.infer_batch(make_batch(policy, **batch))["model_output"]
    values = {
        name: torch.cat([row[:-1] for row in output[name].unbind()]) for name in ("log_probs", "entropy")
    }
    with engine.train_mode():
        engine.optimizer_zero_grad()
        engine.forward_backward_batch(make_batch(policy, **batch), weighted)
        parameters = dict(engine.module.named_parameters())
        gradients = {name: whole(each.grad) for name, each in parameters.items() if each.grad is not None}
    return values, gradients


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(folder, layout):
    options, extra = LAYOUTS[layout]
    engines = make_engine(folder), make_engine(folder, **options)
    for policy in POLICIES:
        (values, gradients), (others, other_gradients) = (
            found(engine, policy, **given) for engine, given in zip(engines, ({}, extra), strict=True)
        )
        for name in values:
            torch.testing.assert_close(others[name], values[name], atol=2e-5, rtol=0)
        assert other_gradients.keys() == gradients.keys() and gradients
        for name, value in gradients.items():
            assert (other_gradients[name] - value).abs().max() <= 2e-5 * value.abs().max(), (policy, name)


def test_packed_sequences_do_not_see_each_other(folder):
    """Else the test above could pass because nothing is attended to."""
    engine = make_engine(folder, packed=True)
    alone = make_batch(chunked=False, packed=True, lengths=(7,))
    with engine.eval_mode():
        one = engine.infer_batch(alone)["model_output"]["log_probs"][0]
        all_four = engine.infer_batch(make_batch(chunked=False, packed=True))["model_output"]["log_probs"]
    torch.testing.assert_close(all_four[0][:-1], one[:-1], atol=2e-5, rtol=0)

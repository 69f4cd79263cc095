"""Chunked log-probs in verl's engine: the same numbers, without logits."""

import inspect
import re

import pytest
import torch
from engine_cases import LAYERS, gradients, loss, make_batch, make_engine, save_kind, whole
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bupo.errors import UserError

pytestmark = pytest.mark.usefixtures("process_group")

KINDS = {
    "qwen3 tied": ("qwen3", True, {}),
    "qwen3": ("qwen3", False, {}),
    "llama": ("llama", False, {}),
    "gemma2 capped": ("gemma2", True, {"final_logit_softcapping": 3.0, "sliding_window": 64}),
}
POLICIES = ["full", f"2/{LAYERS}/raw", f"3/{LAYERS}/final_norm"]


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    kind, tied, options = KINDS[request.param]
    return save_kind(tmp_path_factory.mktemp("kind"), kind, tied, **options)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save_kind(tmp_path_factory.mktemp("tiny"), "qwen3", True)


def close(mine, theirs):
    """Equal to 1e-5 of the largest number."""
    assert mine.dtype == theirs.dtype
    assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
def test_values_and_gradients_are_those_of_logits(folder, packed, checkpointing):
    engine = make_engine(folder, packed, checkpointing)
    for policy in POLICIES:
        batches = [make_batch(policy, chunked, packed) for chunked in (True, False)]
        with engine.eval_mode():
            mine, theirs = (engine.infer_batch(batch)["model_output"] for batch in batches)
        assert mine.keys() == theirs.keys() == {"log_probs", "entropy"}
        for name in mine:
            assert torch.equal(mine[name].offsets(), theirs[name].offsets())
            close(mine[name].values(), theirs[name].values())
        (mine_loss, mine), (their_loss, theirs) = (gradients(engine, batch) for batch in batches)
        assert mine_loss == pytest.approx(their_loss, rel=1e-5)
        assert mine.keys() == theirs.keys() and mine
        for name in mine:
            close(mine[name], theirs[name])


@pytest.mark.parametrize("policy", POLICIES)
def test_weights_after_updates_are_close(folder, policy):
    engines = []
    for chunked in (True, False):
        engine = make_engine(folder)
        with engine.train_mode():
            for _ in range(3):
                engine.train_batch(make_batch(policy, chunked), loss)
        engines.append(engine.module.state_dict())
    for name, mine in engines[0].items():
        torch.testing.assert_close(whole(mine), whole(engines[1][name]), atol=1e-4, rtol=0)


class NoLogits(TorchDispatchMode):
    """Fails where a tensor of the size of the logits is made."""

    def __init__(self, rows, vocabulary):
        super().__init__()
        self.rows, self.vocabulary, self.largest = rows, vocabulary, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and self.vocabulary in tensor.shape:
                assert tensor.numel() < self.rows * self.vocabulary, f"{function}: {tensor.shape}"
            if isinstance(tensor, torch.Tensor) and self.rows in tensor.shape:
                self.largest = max(self.largest, tensor.numel() // self.rows)
        return result


@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize("policy", POLICIES)
def test_logits_never_exist(tmp_path, policy, packed):
    vocabulary, lengths = 4096, (300, 300)
    engine = make_engine(save_kind(tmp_path, "qwen3", True, vocab_size=vocabulary), packed)

    def run(chunked):
        batch = make_batch(policy, chunked, packed, lengths, vocabulary)
        with NoLogits(sum(lengths), vocabulary) as watch:
            with engine.eval_mode():
                engine.infer_batch(batch)
            gradients(engine, batch)
        return watch.largest

    assert 256 <= run(True) < vocabulary / 2  # it did see the tiles
    with pytest.raises(AssertionError, match=str(vocabulary)):
        run(False)


def test_log_probs_of_bfloat16_models_keep_their_digits(tmp_path):
    """Logits in bfloat16 have two or three digits, whatever is computed from them."""
    engine = make_engine(save_kind(tmp_path, "qwen3", False), packed=True, dtype="bf16")
    read = []
    hook = engine.module.lm_head.register_forward_pre_hook(
        lambda module, args: read.append((args[0][0].clone(), module.weight.clone()))
    )
    found = []
    for chunked in (True, False):
        batch = make_batch(POLICIES[1], chunked, packed=True, micro_batch_size_per_gpu=4)
        with engine.eval_mode():
            found.append(engine.infer_batch(batch)["model_output"])
    hook.remove()
    states, weight = read[0]
    assert states.dtype == weight.dtype == torch.bfloat16
    log_p = (states.double() @ weight.double().T / 0.7).log_softmax(-1)
    order = batch["input_ids"].offsets().diff().argsort()  # that of the engine
    rows = batch["input_ids"].unbind()
    labels = torch.cat([rows[i] for i in order]).roll(-1)
    expected = {
        "log_probs": log_p.gather(-1, labels[:, None])[:, 0],
        "entropy": -(log_p.exp() * log_p).sum(-1),
    }
    for name, truth in expected.items():
        errors = []
        for each in found:
            values = each[name].unbind()
            errors.append((torch.cat([values[i] for i in order]) - truth).abs().max())
        mine, theirs = errors
        assert mine < 1e-5 and theirs > 1000 * mine, name


def test_gradients_of_bfloat16_models(tmp_path):
    engine = make_engine(save_kind(tmp_path, "qwen3", True), packed=True, dtype="bf16")
    _, mine = gradients(engine, make_batch(POLICIES[1], True, packed=True))
    _, theirs = gradients(engine, make_batch(POLICIES[1], False, packed=True))
    assert mine.keys() == theirs.keys()
    for name in mine:
        assert mine[name].dtype == theirs[name].dtype == torch.float32
        assert (mine[name] - theirs[name]).norm() < 0.05 * theirs[name].norm(), name


def test_equal_temperatures_of_samples_are_one(tiny):
    engine = make_engine(tiny)
    with engine.eval_mode():
        one = engine.infer_batch(make_batch())["model_output"]["log_probs"].values()
        each = engine.infer_batch(make_batch(temperature=torch.full((4,), 0.7)))
    close(each["model_output"]["log_probs"].values(), one)


def test_an_entropy_that_counts_nothing_is_no_gradient(tiny):
    def with_entropy(model_output, data, dp_group=None):
        value, metrics = loss(model_output, data)
        return value - 0.0 * model_output["entropy"].values().sum(), metrics

    engines = [make_engine(tiny) for _ in range(2)]
    for engine, function in zip(engines, (loss, with_entropy), strict=True):
        with engine.train_mode():
            engine.train_batch(make_batch(), function)
    one, other = (engine.module.state_dict() for engine in engines)
    assert all(torch.equal(whole(one[name]), whole(other[name])) for name in one)


def entropy_loss(model_output, data, dp_group=None):
    return model_output["entropy"].values().sum(), {}


def test_what_needs_logits_is_refused_and_leaves_no_trace(tmp_path):
    engine = make_engine(save_kind(tmp_path, "gemma2", True, final_logit_softcapping=3.0))
    with engine.eval_mode():
        before = engine.infer_batch(make_batch(chunked=False))["model_output"]["log_probs"].values()
    refused = [
        ({"calculate_sum_pi_squared": True}, loss, "calculate_sum_pi_squared cannot be had"),
        ({"distillation_use_topk": True}, loss, "distillation_use_topk cannot be had"),
        ({"use_fused_kernels": True}, loss, "use_fused_kernels cannot be had"),
        ({"temperature": torch.tensor([0.7, 0.7, 0.7, 1.0])}, loss, "samples differ in temperature"),
        ({}, entropy_loss, "chunked entropy has no gradient"),
    ]
    for extra, function, told in refused:
        with engine.train_mode(), pytest.raises(UserError, match=told):
            engine.train_batch(make_batch(**extra), function)
    hook = engine.module.register_forward_hook(
        lambda module, args, output: setattr(output, "logits", output.logits * 2)
    )
    with engine.eval_mode(), pytest.raises(UserError, match="the model changes its logits"):
        engine.infer_batch(make_batch())
    hook.remove()
    with engine.eval_mode():
        after = engine.infer_batch(make_batch(chunked=False))["model_output"]["log_probs"].values()
    assert torch.equal(before, after)


def test_an_unembedding_that_is_no_plain_matrix_is_refused(tiny):
    engine = make_engine(tiny)
    engine.module.lm_head.bias = torch.nn.Parameter(torch.zeros(1))
    with engine.eval_mode(), pytest.raises(UserError, match="is no plain matrix"):
        engine.infer_batch(make_batch())


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("forward_step", ["self", "micro_batch", "loss_function", "forward_only"]),
        ("prepare_model_inputs", ["self", "micro_batch"]),
        (
            "prepare_model_outputs",
            ["self", "output", "output_args", "micro_batch", "logits_processor_func"],
        ),
        ("_gather_and_unpad_packed", ["self", "tensor", "pad_size"]),
    ],
)
def test_what_we_override_and_call_in_verl(method, expected):
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    assert list(inspect.signature(getattr(FSDPEngineWithLMHead, method)).parameters) == expected


def test_verl_knows_the_entries_that_we_refuse():
    from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

    from bupo.training.chunked import REFUSED

    source = inspect.getsource(FSDPEngineWithLMHead.prepare_model_outputs)
    entries = set(re.findall(r'key="(\w+)"', source))
    assert entries == {"use_remove_padding", "pad_mode", "calculate_entropy", *REFUSED}

"""Checks of our engine inside verl on a GPU: is it chosen, and does it compute phase 1 right there?

Each returns its numbers, raises `NotRunError` where something is missing, and AssertionError where it fails.
"""

from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from shapes import QWEN3_4B


class NotRunError(Exception):
    """What a check needs is not on this machine."""


@dataclass(frozen=True)
class Setting:
    """Where and how large the checks are.

    Attributes:
        device: ``cuda``, or ``cpu`` for a rehearsal.
        attention: of the packed sequences.
        shape: of the checked model, as Hugging Face's Qwen3Config has it.
        lengths: of the sequences, in tokens.
        layer: of the internal policy.
        step_shape: of the model whose step is measured.
        step_lengths: of the sequences of that step.
        step_layer: of its internal policy.
    """

    device: str
    attention: str
    shape: dict[str, Any]
    lengths: tuple[int, ...]
    layer: int
    step_shape: dict[str, Any]
    step_lengths: tuple[int, ...]
    step_layer: int
    ways: tuple[str, ...] = field(default=("chunked", "logits", "full depth", "authors"))


GPU = Setting(
    device="cuda",
    attention="flash_attention_2",
    shape={
        "vocab_size": 32_000,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "initializer_range": 0.05,
        "tie_word_embeddings": True,
    },
    lengths=(701, 1024, 333, 2047),
    layer=4,
    step_shape=QWEN3_4B,
    step_lengths=(2048, 2048, 2048, 2048),
    step_layer=6,
)
REHEARSAL = Setting(
    device="cpu",
    attention="sdpa",
    shape={
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "initializer_range": 0.15,
        "tie_word_embeddings": True,
    },
    lengths=(17, 32, 9, 41),
    layer=2,
    step_shape={
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "initializer_range": 0.1,
        "tie_word_embeddings": True,
    },
    step_lengths=(24, 24),
    step_layer=2,
)


def save_model(folder: Path, shape: dict[str, Any], device: str, dtype: torch.dtype = torch.float32) -> Path:
    """Write a random model."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    with torch.device(device):
        model = Qwen3ForCausalLM._from_config(Qwen3Config(**shape, dtype=dtype), dtype=dtype)
    model.save_pretrained(folder)
    return folder


def start_process_group(device: str) -> None:
    """A process group of one rank, without a port."""
    if not torch.distributed.is_initialized():
        backend = "cpu:gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
        store = torch.distributed.HashStore()
        torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)


def make_engine(
    folder: Path, packed: bool, attention: str, dtype: str, checkpointing: bool = False, lr: float = 1e-6
) -> Any:
    """The engine that verl's registry gives for this machine's device, ready to run."""
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine import EngineRegistry

    import bupo.training.engine  # noqa: F401 - registers it
    from bupo.training import patches

    patches.apply()
    engine = EngineRegistry.new(
        "language_model",
        "fsdp2",
        model_config=HFModelConfig(
            path=str(folder),
            load_tokenizer=False,
            use_remove_padding=packed,
            enable_gradient_checkpointing=checkpointing,
            override_config={"attn_implementation": attention},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            mixed_precision={"param_dtype": dtype, "reduce_dtype": "fp32"},
            use_no_sync_for_gradient_accumulation=False,
        ),
        optimizer_config=FSDPOptimizerConfig(lr=lr, total_training_steps=100),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def make_batch(rows: list[torch.Tensor], policy: str, packed: bool, **extra: Any) -> Any:
    """Sequences as the trainer sends them."""
    from verl.utils import tensordict_utils as tu

    jagged = partial(torch.nested.as_nested_tensor, layout=torch.jagged)
    return tu.get_tensordict(
        {
            "input_ids": jagged(rows),
            "position_ids": jagged([torch.arange(len(row)) for row in rows]),
            "loss_mask": jagged([torch.ones_like(row) for row in rows]),
        },
        non_tensor_dict={
            "temperature": 1.0,
            "use_remove_padding": packed,
            "use_dynamic_bsz": False,
            "micro_batch_size_per_gpu": len(rows),
            "bupo_policy": policy,
            "bupo_chunked_log_prob": False,
            **extra,
        },
    )


def random_rows(lengths: tuple[int, ...], vocabulary: int) -> list[torch.Tensor]:
    """Sequences of random tokens."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(vocabulary, (length,), generator=generator) for length in lengths]


def log_probs(engine: Any, rows: list[torch.Tensor], policy: str, packed: bool) -> list[torch.Tensor]:
    """Log-probability of every token but the first of each sequence, float32."""
    with engine.eval_mode():
        found = engine.infer_batch(make_batch(rows, policy, packed))["model_output"]["log_probs"]
    return [each[: len(row) - 1].float().cpu() for each, row in zip(found.unbind(), rows, strict=True)]


def check_registry(setting: Setting, folder: Path) -> dict[str, Any]:
    """verl's registry gives our engine for the device that verl found by itself."""
    from verl.utils.device import get_device_name
    from verl.workers.engine import EngineRegistry

    from bupo.training.engine import InternalPolicyCpuEngine, InternalPolicyEngine
    from bupo.training.worker import check_engine

    assert get_device_name() == setting.device, f"verl runs on {get_device_name()!r}"
    check_engine("fsdp2")
    chosen = EngineRegistry.get_engine_cls("language_model", "fsdp2")
    wanted = InternalPolicyCpuEngine if setting.device == "cpu" else InternalPolicyEngine
    assert chosen is wanted, f"verl takes {chosen.__name__}"
    return {"engine": chosen.__name__}


def check_packed(setting: Setting, folder: Path) -> dict[str, Any]:
    """Phase 1 of packed sequences with flash attention is as near to float32 as that of padded ones.

    What would come out if a sequence saw the one before it has to be far away, or nothing would be shown.
    """
    if setting.attention.startswith("flash") and find_spec("flash_attn") is None:
        raise NotRunError("flash-attn is not installed")
    save_model(folder, setting.shape, setting.device)
    rows = random_rows(setting.lengths, setting.shape["vocab_size"])
    policy = f"{setting.layer}/{setting.shape['num_hidden_layers']}/raw"
    exact_engine = make_engine(folder, packed=False, attention="sdpa", dtype="fp32")
    exact = log_probs(exact_engine, rows, policy, packed=False)
    seen = log_probs(exact_engine, [torch.cat(rows)], policy, packed=False)[0].split(
        [len(r) for r in rows[:-1]] + [len(rows[-1]) - 1]
    )
    padded = log_probs(make_engine(folder, False, "sdpa", "bf16"), rows, policy, packed=False)
    packed = log_probs(make_engine(folder, True, setting.attention, "bf16"), rows, policy, packed=True)
    numbers = {
        "padded_error": _mean_error(padded, exact),
        "packed_error": _mean_error(packed, exact),
        "leak_error": _mean_error(
            [each[: len(e)] for each, e in zip(seen[1:], exact[1:], strict=True)], exact[1:]
        ),
    }
    assert numbers["leak_error"] > 10 * numbers["padded_error"], f"this would not show a leak: {numbers}"
    assert numbers["packed_error"] < 1.5 * numbers["padded_error"] + 1e-6, (
        f"packed is another policy: {numbers}"
    )
    return numbers


def _mean_error(found: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    return (torch.cat(found) - torch.cat(exact)).abs().mean().item()


def check_bf16(setting: Setting, folder: Path) -> dict[str, Any]:
    """An update in bfloat16: its gradient is that of float32, and layers above the policy's get none."""
    save_model(folder, setting.shape, setting.device)
    rows = random_rows(setting.lengths, setting.shape["vocab_size"])
    layers, layer = setting.shape["num_hidden_layers"], setting.layer
    policy = f"{layer}/{layers}/raw"

    def loss(model_output: Any, data: Any, dp_group: Any = None) -> Any:
        values = model_output["log_probs"].values()
        return (values * torch.linspace(-1, 2, len(values), device=values.device)).mean(), {}

    gradients = []
    for dtype in ("fp32", "bf16"):
        engine = make_engine(folder, False, "sdpa", dtype)
        with engine.train_mode():
            engine.optimizer_zero_grad()
            engine.forward_backward_batch(make_batch(rows, policy, packed=False), loss)
            found = {name: each.grad for name, each in engine.module.named_parameters()}
            above = [name for name in found if _above(name, layer)]
            assert above and all(found[name] is None for name in above), "layers above got a gradient"
            gradients.append(
                torch.cat([g.full_tensor().flatten().float() for g in found.values() if g is not None])
            )
            engine.optimizer_step()
        kept = {each.dtype for each in engine.module.parameters()}
        assert kept == {torch.float32}, f"weights are kept in {kept}"
        assert not any(
            engine.optimizer.state.get(each)
            for name, each in engine.module.named_parameters()
            if _above(name, layer)
        )
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0).item()
    assert cosine > 0.99, f"cosine of the gradients in bfloat16 and float32 is {cosine:.4f}"
    return {"gradient_cosine": cosine}


def _above(name: str, layer: int) -> bool:
    parts = name.split(".")
    return "layers" in parts and int(parts[parts.index("layers") + 1]) >= layer

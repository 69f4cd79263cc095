"""Tiny models of several kinds in verl's engine, and batches for it."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

LAYERS = 4


def save_kind(folder: Path, kind: str, tied: bool, **options: Any) -> Path:
    """A random model of Hugging Face's ``kind`` without a tokenizer; ``options`` go to its config."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "initializer_range": 0.2,  # so that layers differ
        "pad_token_id": 0,
        "bos_token_id": None,
        "eos_token_id": 3,
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(sizes | options), tie_word_embeddings=tied)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


def make_engine(
    folder: Path,
    packed: bool = False,
    checkpointing: bool = False,
    dtype: str = "fp32",
    ulysses: int = 1,
    kind: str = "language_model",
    seed: int = 42,
    tokenizer: bool = False,
    **rates: Any,
) -> Any:
    """Our engine on the CPU, ready to run; ``rates`` are `LearningRates`."""
    import verl  # noqa: F401 - its entry point makes the CPU platform known
    from verl.trainer.config import CheckpointConfig
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine import EngineRegistry

    import bupo.training.critic
    import bupo.training.engine  # noqa: F401 - registers it
    from bupo.training import patches

    patches.apply()
    made = EngineRegistry.new(
        kind,
        "fsdp2",
        model_config=HFModelConfig(
            path=str(folder),
            model_type=kind,
            load_tokenizer=tokenizer,
            use_remove_padding=packed,
            enable_gradient_checkpointing=checkpointing,
            override_config={"attn_implementation": "sdpa"},
        ),
        engine_config=FSDPEngineConfig(
            strategy="fsdp2",
            use_torch_compile=False,
            mixed_precision={"param_dtype": dtype, "reduce_dtype": "fp32"},
            fsdp_size=-1,
            use_no_sync_for_gradient_accumulation=False,
            ulysses_sequence_parallel_size=ulysses,
            seed=seed,
        ),
        optimizer_config=FSDPOptimizerConfig(
            lr=1e-2,
            weight_decay=0.1,
            total_training_steps=10,
            override_optimizer_config={"learning_rates": rates} if rates else None,
        ),
        checkpoint_config=CheckpointConfig(),
    )
    made.initialize()
    return made


def make_batch(
    policy: str = "full",
    chunked: bool = True,
    packed: bool = False,
    lengths: tuple[int, ...] = (7, 12, 9, 15),
    vocabulary: int = 50,
    **extra: Any,
) -> Any:
    """Random sequences, two in a micro-batch; ``extra`` goes to the batch's extra info."""
    from verl.utils import tensordict_utils as tu

    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(4, vocabulary, (length,), generator=generator) for length in lengths]
    jagged = partial(torch.nested.as_nested_tensor, layout=torch.jagged)
    given = {
        "temperature": 0.7,
        "calculate_entropy": True,
        "use_remove_padding": packed,
        "use_dynamic_bsz": False,
        "micro_batch_size_per_gpu": 2,
        "use_fused_kernels": False,
        "global_batch_size": len(lengths),
        "bupo_policy": policy,
        "bupo_chunked_log_prob": chunked,
        **extra,
    }
    tensors = {name: given.pop(name) for name in list(given) if isinstance(given[name], torch.Tensor)}
    return tu.get_tensordict(
        {
            "input_ids": jagged(rows),
            "position_ids": jagged([torch.arange(length) for length in lengths]),
            "loss_mask": jagged([torch.ones(length - 3, dtype=torch.long) for length in lengths]),
            **tensors,
        },
        non_tensor_dict=given,
    )


def whole(value: torch.Tensor) -> torch.Tensor:
    """A parameter or gradient with the parts of all ranks."""
    return (value.full_tensor() if hasattr(value, "full_tensor") else value).detach().clone()


def loss(model_output: Any, data: Any, dp_group: Any = None) -> tuple[torch.Tensor, dict[str, Any]]:
    """Every token has another weight."""
    log_probs = model_output["log_probs"].values()
    return (log_probs * torch.linspace(-1, 2, len(log_probs))).sum() / 50, {}


def gradients(engine: Any, batch: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of a batch and its gradients; the weights stay."""
    with engine.train_mode():
        engine.optimizer_zero_grad()
        found = engine.forward_backward_batch(batch, loss)
        parameters = {name: each.grad for name, each in engine.module.named_parameters()}
        kept = {name: whole(each) for name, each in parameters.items() if each is not None}
        engine.optimizer_zero_grad()
    return sum(found["loss"]), kept

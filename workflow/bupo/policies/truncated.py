"""Phase 1's forward: the model stops after layer k and reads that layer's policy."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from torch import nn

from bupo.errors import UserError
from bupo.policies.architectures import LENSES, Lens, architecture_of, decoder_layers, part
from bupo.policies.layers import LayerIndex


@contextmanager
def truncated_forward(model: nn.Module, layer: LayerIndex | None, lens: Lens = "raw") -> Iterator[None]:
    """Inside, ``model(...)`` gives the logits of layer k's policy and the layers above k do not run.

    The logits are ``lm_head(H^k)`` with lens ``raw`` (paper, internal layer policy: no final norm, also at
    k = L) and ``lm_head(norm(H^k))`` with ``final_norm``, soft-capped where the model caps its own. The same
    modules run in the same order as in the whole forward, so the numbers are bitwise its own. Whatever did
    not run gets no gradient: None, not zero, so that AdamW's weight decay leaves it alone.

    Works on a Hugging Face causal language model, also one that ``fully_shard`` (FSDP2) has wrapped, with or
    without gradient checkpointing; the backward pass may come after the block. The change is to the model
    object itself: one thread at a time, and do not save the model inside.

    Args:
        model: the causal language model.
        layer: k; None leaves the model as it is (phase 2).
        lens: whether the final norm is applied to H^k.

    Raises:
        ValueError: the lens is unknown, or ``layer`` counts another number of layers than the model has.
        UserError: the model's architecture is unknown, or its layers above k run all the same (raised by the
            forward pass).
    """
    if lens not in LENSES:
        raise ValueError(f"lens {lens!r} is unknown: choose from {', '.join(LENSES)}")
    if layer is None:
        yield
        return
    total = len(decoder_layers(model))
    if layer.total != total:
        raise ValueError(f"{layer} was asked of a model with {total} layers")
    names = architecture_of(model)
    norm = part(model, names.decoder, names.final_norm)
    with _run_layers(model, layer), _bypassed(norm) if lens == "raw" else nullcontext():
        yield


@contextmanager
def _run_layers(model: nn.Module, layer: LayerIndex) -> Iterator[None]:
    # Hugging Face decoders iterate layers[: config.num_hidden_layers], each time they are called. Masks and
    # rotary embeddings are made from other entries of the config, so that lowering this one changes no more.
    config: Any = part(model, architecture_of(model).decoder).config
    whole = config.num_hidden_layers

    def refuse(_module: nn.Module, _args: Any) -> None:
        if config.num_hidden_layers <= layer.number:
            raise UserError(
                f"{type(model).__name__} runs on after {layer} though its config says num_hidden_layers = "
                f"{config.num_hidden_layers}: this version of transformers cannot stop it there"
            )

    with ExitStack() as undo:
        undo.callback(setattr, config, "num_hidden_layers", whole)
        config.num_hidden_layers = layer.number
        for above in list(decoder_layers(model))[layer.number :]:
            # Were it to run, another policy would be trained in silence.
            undo.callback(above.register_forward_pre_hook(refuse).remove)
        yield


@contextmanager
def _bypassed(module: nn.Module) -> Iterator[None]:
    # An instance attribute shadows the class's forward and leaves the module's hooks (FSDP2's too) at work.
    before = module.__dict__.get("forward")
    module.__dict__["forward"] = lambda states: states
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before

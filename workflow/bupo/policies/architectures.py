"""Where the parts of a decoder lie, one entry per Hugging Face ``model_type``."""

from dataclasses import dataclass
from typing import Literal

from torch import nn

from bupo.errors import UserError

Lens = Literal["raw", "final_norm"]
LENSES: tuple[Lens, ...] = ("raw", "final_norm")


@dataclass(frozen=True)
class Architecture:
    """Names of a decoder's parts: dotted from the causal language model, or plain within one layer.

    ``attention_input`` and ``ffn_input`` name the modules whose *outputs* are what attention and FFN read;
    ``attention_output`` and ``ffn_output`` name those whose outputs are *added to the residual stream*. In a
    pre-norm decoder the first two are the norms and the last two the modules themselves; in a decoder with
    post-norms the last two are the post-norms.
    """

    decoder: str = "model"
    embedding: str = "model.embed_tokens"
    layers: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    attention_input: str = "input_layernorm"
    attention_output: str = "self_attn"
    ffn_input: str = "post_attention_layernorm"
    ffn_output: str = "mlp"


PRE_NORM = Architecture()
ARCHITECTURES: dict[str, Architecture] = {
    "llama": PRE_NORM,
    "mistral": PRE_NORM,
    "qwen2": PRE_NORM,
    "qwen3": PRE_NORM,
}


def architecture_of(model: nn.Module) -> Architecture:
    """The entry for ``model``.

    Raises:
        UserError: the model's type is not known, so that nothing can be said about its residual stream.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UserError(
            f"{type(model).__name__} has model_type {kind!r}, whose residual stream is not described here: "
            f"known are {known}"
        )
    return ARCHITECTURES[kind]


def part(model: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted ``path``.

    Raises:
        UserError: there is none, or it is not a module.
    """
    found: object = model
    for name in path.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, nn.Module):
        raise UserError(
            f"{type(model).__name__} has no module {path!r}, so its internal policies cannot be read"
        )
    return found


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder's layers, bottom first.

    Raises:
        UserError: the architecture is unknown or the model has no list of layers where it should be.
    """
    path = architecture_of(model).layers
    layers = part(model, path)
    if not isinstance(layers, nn.ModuleList) or len(layers) == 0:
        raise UserError(f"{type(model).__name__}.{path} is not a list of layers")
    return layers

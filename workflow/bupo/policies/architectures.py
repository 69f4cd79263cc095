"""Where the parts of a decoder lie, one entry per Hugging Face ``model_type``."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from bupo.errors import UserError

Lens = Literal["raw", "final_norm"]
LENSES: tuple[Lens, ...] = ("raw", "final_norm")


@dataclass(frozen=True)
class Architecture:
    """Names of a decoder's parts; the defaults are those of a pre-norm decoder (Llama, Qwen).

    Attributes:
        decoder: path of the decoder in the causal language model.
        unembedding: name of the unembedding in the causal language model.
        embedding, layers, final_norm: names in the decoder.
        attention, ffn: the two modules of a layer; what they are called with is what they read.
        attention_norm, ffn_norm: the norms that make this of the residual stream; None: it is read as it is.
        attention_added, ffn_added: the modules whose outputs are added to the residual stream, A^l and F^l:
            attention and FFN themselves, or the post-norms that follow them.
        softcap: the config's entry for the cap c of the logits, c tanh(logits / c); None: the model has none.
    """

    decoder: str = "model"
    unembedding: str = "lm_head"
    embedding: str = "embed_tokens"
    layers: str = "layers"
    final_norm: str = "norm"
    attention: str = "self_attn"
    attention_norm: str | None = "input_layernorm"
    attention_added: str = "self_attn"
    ffn: str = "mlp"
    ffn_norm: str | None = "post_attention_layernorm"
    ffn_added: str = "mlp"
    softcap: str | None = None


PRE_NORM = Architecture()
PHI3 = Architecture(attention_added="resid_attn_dropout", ffn_added="resid_mlp_dropout")
POST_NORM = Architecture(
    attention_norm=None,
    attention_added="post_attention_layernorm",
    ffn_norm=None,
    ffn_added="post_feedforward_layernorm",
)
GEMMA = Architecture(
    attention_added="post_attention_layernorm",
    ffn_norm="pre_feedforward_layernorm",
    ffn_added="post_feedforward_layernorm",
    softcap="final_logit_softcapping",
)
ARCHITECTURES: dict[str, Architecture] = {
    "gemma2": GEMMA,
    "gemma3": replace(GEMMA, decoder="model.language_model", softcap=None),
    "gemma3_text": GEMMA,
    "llama": PRE_NORM,
    "mistral": PRE_NORM,
    "olmo2": POST_NORM,
    "phi3": PHI3,
    "qwen2": PRE_NORM,
    "qwen3": PRE_NORM,
    "qwen3_moe": PRE_NORM,
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


def part(model: nn.Module, *path: str) -> nn.Module:
    """The submodule at a path of names, each of which may be dotted.

    Raises:
        UserError: there is none, or it is not a module.
    """
    dotted = ".".join(path)
    found: object = model
    for name in dotted.split("."):
        found = getattr(found, name, None)
    if not isinstance(found, nn.Module):
        raise UserError(
            f"{type(model).__name__} has no module {dotted!r}, so its internal policies cannot be read"
        )
    return found


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder's layers, bottom first.

    Raises:
        UserError: the architecture is unknown or the model has no list of layers where it should be.
    """
    architecture = architecture_of(model)
    layers = part(model, architecture.decoder, architecture.layers)
    if not isinstance(layers, nn.ModuleList) or len(layers) == 0:
        raise UserError(
            f"{type(model).__name__}.{architecture.decoder}.{architecture.layers} is not a list of layers"
        )
    return layers

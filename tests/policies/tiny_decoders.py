"""Tiny random decoders, one for each known architecture, in which every part matters."""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from bupo.policies.architectures import ARCHITECTURES

VOCAB, LAYERS, HIDDEN, WINDOW = 301, 5, 32, 6
KINDS = tuple(sorted(ARCHITECTURES))


def tiny_decoder(
    kind: str, tied: bool = False, layers: int = LAYERS, seed: int = 0, **options: Any
) -> PreTrainedModel:
    """A random model of Hugging Face's ``kind``, in evaluation mode; ``options`` go to its config."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(_config(kind, layers, tied, options)).eval()
    spread(model)
    return model


def spread(model: nn.Module) -> None:
    """Make policies, norms and residuals matter: the default initialisation has them all but uniform."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter += torch.rand_like(parameter) - 0.5
            elif parameter.dim() >= 2:
                parameter *= 8


def _config(kind: str, layers: int, tied: bool, options: dict[str, Any]) -> Any:
    text = {
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": HIDDEN // 4,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **_particulars(kind, layers),
        **options,
    }
    if kind != "gemma3":
        return AutoConfig.for_model(kind, **text)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 8, "patch_size": 4}
    return AutoConfig.for_model(
        kind, text_config=text, vision_config=vision, mm_tokens_per_image=4, tie_word_embeddings=tied
    )


def _particulars(kind: str, layers: int) -> dict[str, Any]:
    alternating = (["sliding_attention", "full_attention"] * layers)[:layers]
    windows = {"sliding_window": WINDOW, "layer_types": alternating}
    if kind in ("gemma2", "gemma3_text"):
        return {**windows, "final_logit_softcapping": 4.0}
    if kind == "gemma3":
        return windows
    if kind == "qwen2":
        return {**windows, "use_sliding_window": True}
    if kind in ("mistral", "phi3"):
        return {"sliding_window": WINDOW}
    if kind == "qwen3_moe":  # the second layer is dense
        experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        return {**experts, "mlp_only_layers": [1]}
    return {}

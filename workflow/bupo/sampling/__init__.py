"""Responses of a model, each from random numbers of its own.

A response hangs on its request (prompt and key) and on how tokens are drawn, never on the requests beside it
or on their order, but for rounding in the last bits of the logits. So a run that goes on after a crash draws
what it would have drawn, and more samples only add to those that are there.

`decode` and `decode_in_batches` draw with a Hugging Face model in this process, `sample_vllm` with vLLM in
another one. Training, evaluation and the entropy analysis all draw here.
"""

from typing import TYPE_CHECKING, Any

from bupo.sampling.request import Completion, Request, SamplingSettings, key_of
from bupo.sampling.vllm_backend import sample_vllm

if TYPE_CHECKING:
    from bupo.sampling.ends import end_tokens, load_generation_config
    from bupo.sampling.huggingface import decode, decode_in_batches

__all__ = [
    "Completion",
    "Request",
    "SamplingSettings",
    "decode",
    "decode_in_batches",
    "end_tokens",
    "key_of",
    "load_generation_config",
    "sample_vllm",
]

_NEED_TORCH = {
    "decode": "huggingface",
    "decode_in_batches": "huggingface",
    "end_tokens": "ends",
    "load_generation_config": "ends",
}


def __getattr__(name: str) -> Any:
    # vLLM's process imports this package too, maybe beside another torch and transformers than ours.
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)

"""The check at load: a decoder's parts are what its architecture's description takes them for."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bupo.errors import UserError
from bupo.policies.architectures import part

if TYPE_CHECKING:
    from bupo.policies.adapter import Decoder

# What is recomputed here is recomputed by the same operations in the same type, so that it differs by the
# rounding of a few of them, and by that of float32 sums taken in another order, if at all.
ROUNDINGS = 2
SUM_ROUNDINGS = 64


@torch.no_grad()
def verify(decoder: "Decoder") -> None:
    """Read a few tokens and recompute every state from the ones before it, and the model's own logits.

    For each layer l: attention reads the (normed) H^{l-1}, the FFN the (normed) H^{l-1} + A^l, and H^l is
    H^{l-1} + A^l + F^l; H^0 is the embedding; the final norm, the unembedding and the soft-cap turn H^L into
    the logits that the model itself gives. Scaled residuals or logits and parallel FFNs do not pass.

    Raises:
        UserError: weights are not finite, or the first of these that does not hold.
    """
    model, names = decoder.model, decoder.architecture
    same = partial(_same, type(model).__name__)
    for key, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise UserError(
                f"{type(model).__name__}: the weight {key} holds NaN or infinity, "
                "so that no policy can be read from it"
            )
    vocabulary = decoder.unembedding.shape[0]
    ids = torch.arange(8, device=decoder.device) * max(1, vocabulary // 8) % vocabulary
    with _evaluating(model):
        states = decoder.states(ids)
        logits = model(input_ids=ids[None], use_cache=False).logits
        below = states.embedding
        same("the embedding does not give what layer 1 reads", below, decoder.embedding(ids))
        for number, parts in enumerate(states.parts, start=1):
            attention_input, attention, ffn_input, ffn, output = parts
            middle = below + attention
            for who, reads, state, norm in (
                ("attention does not read its input", attention_input, below, names.attention_norm),
                ("FFN does not read its input plus attention", ffn_input, middle, names.ffn_norm),
            ):
                wrong = f"layer {number}'s {who}"
                if norm is not None:
                    wrong = f"{wrong} through {norm}"
                    state = part(model, names.decoder, names.layers, str(number - 1), norm)(state)
                same(wrong, reads, state)
            size = below.abs() + attention.abs() + ffn.abs()
            same(f"layer {number} is not input plus attention plus FFN", output, middle + ffn, size)
            below = output
        final = decoder.final_norm(below)
        same("the decoder does not end with its final norm", states.final, final)
        own = nn.functional.linear(final[None], decoder.unembedding)
        if decoder.softcap is not None:
            own = torch.tanh(own / decoder.softcap) * decoder.softcap
        same("final norm and unembedding do not give the model's own logits", logits, own)


def _same(name: str, wrong: str, found: Tensor, expected: Tensor, size: Tensor | None = None) -> None:
    """Refuse with ``wrong`` where the two differ by more than the rounding of terms as large as ``size``."""
    expected = expected.to(found.device)
    wide = torch.promote_types(found.dtype, torch.float32)
    size = (expected if size is None else size).to(wide).abs()
    allowed = ROUNDINGS * torch.finfo(expected.dtype).eps * size
    allowed += SUM_ROUNDINGS * torch.finfo(wide).eps * size.max()
    gap = (found.to(wide) - expected.to(wide)).abs()
    if not (gap <= allowed).all():
        raise UserError(
            f"{name}: {wrong} (off by {gap.max():.2g}), "
            "so that it is not the decoder described for its architecture"
        )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

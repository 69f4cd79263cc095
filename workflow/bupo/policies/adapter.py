"""The adapter: finds a decoder's parts and reads every state on its residual stream in one forward pass."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from bupo.errors import UserError
from bupo.policies.architectures import Architecture, architecture_of, decoder_layers, part
from bupo.policies.by_policy import PARTS, ByPolicy

# Rounding in a few additions, and in a product of a few thousand terms, in units of the machine epsilon.
RESIDUAL_EPSILONS = 16
LOGIT_EPSILONS = 64


class Decoder:
    """The parts of a Hugging Face decoder and its residual stream.

    Attributes:
        embedding, layers, final_norm: the modules of those names, ``layers`` bottom first.
        unembedding: E_u, [V, d], the weight itself.
        total: L.

    Raises:
        UserError: the architecture is unknown, a part is missing, weights are not finite, or the check at
        load
            finds that the states read are not the ones that the model adds up.
    """

    model: nn.Module
    architecture: Architecture
    decoder: nn.Module
    embedding: nn.Module
    layers: nn.ModuleList
    final_norm: nn.Module
    head: nn.Linear
    total: int

    def __init__(self, model: nn.Module) -> None:
        """Find the parts of ``model`` and check them."""
        self.model = model
        self.architecture = architecture_of(model)
        head = getattr(model, self.architecture.unembedding, None)
        if not isinstance(head, nn.Linear):
            raise UserError(
                f"{type(model).__name__} has no unembedding {self.architecture.unembedding!r}: "
                "load it as a causal language model (AutoModelForCausalLM)"
            )
        if head.bias is not None:
            raise UserError(
                f"the unembedding of {type(model).__name__} has a bias, which no internal policy knows"
            )
        self.decoder = part(model, self.architecture.decoder)
        self.embedding = part(model, self.architecture.embedding)
        self.layers = decoder_layers(model)
        self.final_norm = part(model, self.architecture.final_norm)
        self.head = head
        self.total = len(self.layers)
        self._check()

    @property
    def unembedding(self) -> Tensor:
        """E_u, [V, d]."""
        return self.head.weight

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.head.weight.device

    @torch.no_grad()
    def states(self, input_ids: Tensor, positions: slice | None = None) -> ByPolicy:
        """Every state of one sequence, from one forward pass of the decoder (no logits are made).

        Args:
            input_ids: token ids, [T] or [1, T].
            positions: which positions to keep; all where None.

        Returns:
            The states, each [T', d] with T' positions kept, in the model's own type.

        Raises:
            UserError: no position is left, or there is more than one sequence.
        """
        ids = input_ids.to(self.device)
        ids = ids[None] if ids.dim() == 1 else ids
        if ids.dim() != 2 or ids.shape[0] != 1:
            raise UserError(
                f"one sequence of token ids is needed, [T] or [1, T], not {list(input_ids.shape)}"
            )
        kept = slice(None) if positions is None else positions
        length = len(range(*kept.indices(ids.shape[1])))
        if length == 0:
            raise UserError("no position to read: the response is empty")
        width = self.unembedding.shape[1]
        parts = torch.empty(
            self.total, len(PARTS), length, width, dtype=self.unembedding.dtype, device=self.device
        )
        ends: dict[str, Tensor] = {}

        def keep(layer: int, name: str) -> Callable[..., None]:
            def hook(_module: nn.Module, _args: Any, output: Any) -> None:
                parts[layer, PARTS.index(name)] = _tensor(output)[0, kept]

            return hook

        def first_input(_module: nn.Module, args: Any, kwargs: Any) -> None:
            ends["embedding"] = (args[0] if args else kwargs["hidden_states"])[0, kept].clone()

        with ExitStack() as hooks:
            for index, layer in enumerate(self.layers):
                for name in PARTS[:-1]:
                    module = part(layer, getattr(self.architecture, _PART_FIELDS[name]))
                    hooks.callback(module.register_forward_hook(keep(index, name)).remove)
                hooks.callback(layer.register_forward_hook(keep(index, "layer")).remove)
            hooks.callback(self.layers[0].register_forward_pre_hook(first_input, with_kwargs=True).remove)
            final = self.decoder(input_ids=ids, use_cache=False).last_hidden_state[0, kept]
        return ByPolicy(ends["embedding"], parts, final)

    @torch.no_grad()
    def _check(self) -> None:
        """The parts are what they are taken for: residual sums close, the final policy is the model's own."""
        name = type(self.model).__name__
        for key, parameter in self.model.named_parameters():
            if not torch.isfinite(parameter).all():
                raise UserError(
                    f"{name}: the weight {key} holds NaN or infinity, so that no policy can be read from it"
                )
        vocabulary = self.unembedding.shape[0]
        ids = torch.arange(8, device=self.device) * max(1, vocabulary // 8) % vocabulary
        wide = torch.promote_types(self.unembedding.dtype, torch.float32)
        training = self.model.training
        self.model.eval()
        try:
            states = self.states(ids)
            logits = self.model(input_ids=ids[None], use_cache=False).logits[0].to(wide)
        finally:
            self.model.train(training)
        epsilon = torch.finfo(self.unembedding.dtype).eps
        below = torch.cat([states.embedding[None], states.all("layer")[:-1]]).to(wide)
        outputs = [states.all(each).to(wide) for each in ("attention", "ffn", "layer")]
        gap = (below + outputs[0] + outputs[1] - outputs[2]).abs().amax((1, 2))
        size = torch.stack([below, *outputs]).abs().amax((0, 2, 3))
        worst = int((gap / size).argmax())
        if not gap[worst] <= RESIDUAL_EPSILONS * epsilon * size[worst]:
            raise UserError(
                f"{name}: layer {worst + 1} is not input plus attention plus FFN (off by {gap[worst]:.2g}), "
                "so that its residual stream is not the one described for this architecture"
            )
        mine = nn.functional.linear(states.final.to(wide), self.unembedding.to(wide))
        off = (mine - logits).abs().max()
        if not off <= LOGIT_EPSILONS * epsilon * logits.abs().max().clamp_min(1):
            raise UserError(
                f"{name}: final norm and unembedding do not give the model's own logits (off by {off:.2g}), "
                "so that its final policy is not the one described for this architecture"
            )


_PART_FIELDS = {
    "attention_input": "attention_input",
    "attention": "attention_output",
    "ffn_input": "ffn_input",
    "ffn": "ffn_output",
}


def _tensor(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output

"""The adapter: finds a decoder's parts and reads every state on its residual stream in one forward pass."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bupo.errors import UserError
from bupo.policies.architectures import Architecture, architecture_of, decoder_layers, part
from bupo.policies.by_policy import PARTS, ByPolicy, Part
from bupo.policies.verification import verify


@dataclass(frozen=True)
class _Site:
    index: int  # of the layer, from 0
    policy: Part
    module: nn.Module  # whose input (policies named *_input) or output is the state


class Decoder:
    """The parts of a Hugging Face decoder and its residual stream.

    Attributes:
        embedding, layers, final_norm: the modules of those names, ``layers`` bottom first.
        unembedding: E_u, [V, d], the weight itself.
        softcap: c where the model reads its unembedding through c tanh(logits / c) (Gemma 2), else None.
        total: L.

    Raises:
        UserError: the architecture is unknown, a part is missing, or `verify` finds that the parts are not
            what they are taken for.
    """

    model: nn.Module
    architecture: Architecture
    decoder: nn.Module
    embedding: nn.Module
    layers: nn.ModuleList
    final_norm: nn.Module
    head: nn.Linear
    softcap: float | None
    total: int

    def __init__(self, model: nn.Module) -> None:
        """Find the parts of ``model`` and check them."""
        self.model = model
        names = self.architecture = architecture_of(model)
        self.head = _unembedding(model, names.unembedding)
        self.decoder = part(model, names.decoder)
        self.embedding = part(model, names.decoder, names.embedding)
        self.layers = decoder_layers(model)
        self.final_norm = part(model, names.decoder, names.final_norm)
        config: Any = self.decoder.config
        self.softcap = None if names.softcap is None else getattr(config, names.softcap, None)
        self.total = len(self.layers)
        self._sites = [site for index in range(self.total) for site in self._sites_of(index)]
        verify(self)

    @property
    def unembedding(self) -> Tensor:
        """E_u, [V, d]."""
        return self.head.weight

    @property
    def device(self) -> torch.device:
        """Where the unembedding lies; states are brought there."""
        return self.head.weight.device

    @torch.no_grad()
    def states(self, input_ids: Tensor, positions: slice | None = None) -> ByPolicy:
        """Every state of one sequence, from one forward pass of the decoder (no logits are made).

        The model runs in the mode that it is in; in training mode dropout is part of what is read.

        Args:
            input_ids: token ids, [T] or [1, T].
            positions: which positions to keep; all where None.

        Returns:
            The states, each [T', d] with T' positions kept, in the model's own type.

        Raises:
            UserError: no position is left, there is more than one sequence, or a layer did not run.
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
        embedding = torch.empty_like(parts[0, 0])
        unread = {(site.index, site.policy) for site in self._sites}

        def keep(site: _Site) -> Callable[[Tensor], None]:
            def into_place(state: Tensor) -> None:
                parts[site.index, PARTS.index(site.policy)] = state[0, kept]
                unread.discard((site.index, site.policy))

            return into_place

        with ExitStack() as hooks:
            for site in self._sites:
                hook = _on_input if site.policy.endswith("_input") else _on_output
                hooks.callback(hook(site.module, keep(site)))
            hooks.callback(_on_input(self.layers[0], lambda state: embedding.copy_(state[0, kept])))
            final = self.decoder(input_ids=ids, use_cache=False).last_hidden_state[0, kept]
        if unread:
            index, policy = min(unread, key=lambda each: (each[0], PARTS.index(each[1])))
            raise UserError(
                f"{type(self.model).__name__}: the forward pass did not run layer {index + 1} of "
                f"{self.total} as described (no {policy} was seen), so that its policies cannot be read"
            )
        return ByPolicy(embedding, parts, final)

    def _sites_of(self, index: int) -> list[_Site]:
        names = self.architecture
        within: dict[Part, str] = {
            "attention_input": names.attention,
            "attention": names.attention_added,
            "ffn_input": names.ffn,
            "ffn": names.ffn_added,
        }
        path = (names.decoder, names.layers, str(index))
        found = [_Site(index, each, part(self.model, *path, name)) for each, name in within.items()]
        return [*found, _Site(index, "layer", self.layers[index])]


def _unembedding(model: nn.Module, name: str) -> nn.Linear:
    head = getattr(model, name, None)
    if not isinstance(head, nn.Linear):
        raise UserError(
            f"{type(model).__name__} has no unembedding {name!r}: "
            "load it as a causal language model (AutoModelForCausalLM)"
        )
    if head.bias is not None:
        raise UserError(
            f"the unembedding of {type(model).__name__} has a bias, which no internal policy knows"
        )
    if not head.weight.is_floating_point():
        raise UserError(
            f"the unembedding of {type(model).__name__} is quantised to {head.weight.dtype}: "
            "load it in a floating-point type"
        )
    return head


def _on_input(module: nn.Module, keep: Callable[[Tensor], object]) -> Callable[[], None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(args[0] if args else kwargs["hidden_states"])

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _on_output(module: nn.Module, keep: Callable[[Tensor], object]) -> Callable[[], None]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    return module.register_forward_hook(hook).remove

"""Internal policies of a model: states in one forward pass, then what their policies say."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bupo.policies.adapter import Decoder
from bupo.policies.architectures import LENSES, Lens
from bupo.policies.by_policy import PARTS, ByPolicy
from bupo.policies.divergence import stream_kl
from bupo.policies.layers import LayerIndex
from bupo.policies.log_prob import LogProb, chunked_log_prob
from bupo.policies.online import capped
from bupo.policies.products import PRODUCTS, Products
from bupo.policies.readout import Readout
from bupo.policies.streaming import make_reference, stream


@dataclass(frozen=True)
class LensReading:
    """Statistics of every policy through one lens, each a `ByPolicy` of [T] per policy.

    Attributes:
        entropy: nats.
        kl_to_final: D_KL(policy || final policy), nats; None where it was not asked for.
        top1_agreement: 1.0 where the policy's most likely token is the final policy's; None likewise.
        final_log_prob: log-probabilities under the final policy of the tokens that were asked for, nats, [T];
            None likewise. It is the same through every lens.
    """

    entropy: ByPolicy
    kl_to_final: ByPolicy | None = None
    top1_agreement: ByPolicy | None = None
    final_log_prob: Tensor | None = None


class InternalPolicies:
    """The internal policies of a Hugging Face causal language model.

    Where the model caps its logits (Gemma 2), so are those of every policy: that is how the model reads its
    unembedding.

    >>> policies = InternalPolicies(model)
    >>> reading = policies.read(policies.states(input_ids))["raw"]
    >>> reading.entropy.of("ffn", 6)  # nats, [T]

    Raises:
        UserError: see `Decoder`.
    """

    decoder: Decoder
    total: int
    products: Products | None

    def __init__(self, model: nn.Module, products: Products | None = None) -> None:
        """Find and check the parts of ``model``.

        Args:
            model: the causal language model.
            products: ``bfloat16``: `read` and `kl_to_later` round states and unembedding to bfloat16 before
                they multiply them, which is faster and moves logits by about 0.3%; ``float32``: they do not;
                None: as the model's own type is. Logits and sums are float32 all the same.
        """
        if products not in (None, *PRODUCTS):
            raise ValueError(f"products {products!r} are unknown: choose from {', '.join(PRODUCTS)}")
        self.decoder = Decoder(model)
        self.total = self.decoder.total
        self.products = products

    def states(self, input_ids: Tensor, positions: slice | None = None) -> ByPolicy:
        """The states of one sequence: see `Decoder.states`."""
        return self.decoder.states(input_ids, positions)

    @torch.no_grad()
    def logits(self, states: Tensor, lens: Lens = "raw") -> Tensor:
        """All logits of a few states, [..., d] to [..., V]; for long sequences use `read` or `log_prob`."""
        logits = nn.functional.linear(self._through(states, lens), self.decoder.unembedding)
        return capped(logits, self.decoder.softcap)

    def log_prob(
        self, states: Tensor, targets: Tensor, lens: Lens = "raw", temperature: float = 1.0
    ) -> LogProb:
        """log pi(targets), with gradient to states and unembedding: see `chunked_log_prob`."""
        decoder = self.decoder
        through = self._through(states, lens)
        return chunked_log_prob(through, decoder.unembedding, targets, temperature, softcap=decoder.softcap)

    @torch.no_grad()
    def read(
        self,
        states: ByPolicy,
        lenses: Sequence[Lens] = LENSES,
        temperature: float = 1.0,
        compare: bool = True,
        tokens: Tensor | None = None,
    ) -> dict[Lens, LensReading]:
        """Entropy of all 5L + 2 policies through each lens, in one pass over the unembedding.

        Through ``final_norm`` every state goes through the final norm before the unembedding. The final
        policy is the same in both readings.

        Args:
            states: from `states`.
            lenses: one or both.
            temperature: divides the logits.
            compare: also KL to the final policy and top-1 agreement with it.
            tokens: token ids whose log-probabilities under the final policy are wanted, [T].
        """
        decoder = self.decoder
        readout = self._readout(temperature)
        length, width = states.final.shape
        each = 1 + self.total * len(PARTS)

        def block_of(here: slice) -> Tensor:
            parts = states.parts[:, :, here]
            block = parts.new_empty(len(lenses), each, *parts.shape[2:])
            for rows, lens in zip(block, lenses, strict=True):
                rows[0] = self._through(states.embedding[here], lens)
                rows[1:].view_as(parts).copy_(self._through(parts, lens))
            return block.flatten(0, 1)

        reference = make_reference(
            states.final,
            decoder.unembedding,
            temperature,
            softcap=decoder.softcap,
            tokens=tokens,
            products=self.products,
        )
        shape = (each * len(lenses), length, width)
        found = stream(readout, block_of, shape, reference if compare else None)
        ends = {
            "entropy": reference.entropy,
            "kl": torch.zeros_like(reference.entropy),
            "top1": torch.ones_like(reference.entropy),
        }

        def by_policy(name: str, place: int) -> ByPolicy | None:
            values = getattr(found, name)
            if values is None:
                return None
            own = values[place * each : (place + 1) * each].to(reference.entropy.dtype)
            return ByPolicy(own[0], own[1:].unflatten(0, (self.total, len(PARTS))), ends[name])

        readings = {}
        for place, lens in enumerate(lenses):
            entropy = by_policy("entropy", place)
            assert entropy is not None
            others = by_policy("kl", place), by_policy("top1", place)
            readings[lens] = LensReading(entropy, *others, reference.log_prob)
        return readings

    @torch.no_grad()
    def kl_to_later(
        self,
        states: ByPolicy,
        anchor: int | LayerIndex,
        lens: Lens = "raw",
        temperature: float = 1.0,
    ) -> Tensor:
        """D_KL(layer k's policy || layer m's) for m = k + 1..L, nats, [L - k, T].

        Args:
            states: from `states`.
            anchor: layer k, counted from 1.
            lens: of both policies.
            temperature: divides the logits.

        Raises:
            ValueError: there is no such layer or lens.
        """
        index = anchor if isinstance(anchor, LayerIndex) else LayerIndex(anchor, self.total)
        if index.total != self.total:
            raise ValueError(f"{index} was asked of a model with {self.total} layers")
        layers = states.all("layer")[index.zero_based :]
        return stream_kl(
            self._readout(temperature),
            lambda here: self._through(layers[:, here], lens),
            tuple(layers.shape),
        )

    def _readout(self, temperature: float) -> Readout:
        return Readout(self.decoder.unembedding, temperature, self.decoder.softcap, self.products)

    def _through(self, states: Tensor, lens: Lens) -> Tensor:
        if lens not in LENSES:
            raise ValueError(f"lens {lens!r} is unknown: choose from {', '.join(LENSES)}")
        return self.decoder.final_norm(states) if lens == "final_norm" else states

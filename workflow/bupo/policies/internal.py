"""Internal policies of a model: states in one forward pass, then what their policies say."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bupo.policies.adapter import Decoder
from bupo.policies.architectures import LENSES, Lens
from bupo.policies.by_policy import PARTS, ByPolicy
from bupo.policies.log_prob import LogProb, chunked_log_prob
from bupo.policies.streaming import make_reference, policy_statistics


@dataclass(frozen=True)
class LensReading:
    """Statistics of every policy through one lens, each a `ByPolicy` of [T] per policy.

    Attributes:
        entropy: nats.
        kl_to_final: D_KL(policy || final policy), nats; None where it was not asked for.
        top1_agreement: 1.0 where the policy's most likely token is the final policy's; None likewise.
    """

    entropy: ByPolicy
    kl_to_final: ByPolicy | None = None
    top1_agreement: ByPolicy | None = None


class InternalPolicies:
    """The internal policies of a Hugging Face causal language model.

    >>> policies = InternalPolicies(model)
    >>> reading = policies.read(policies.states(input_ids))["raw"]
    >>> reading.entropy.of("ffn", 6)  # nats, [T]

    Raises:
        UserError: see `Decoder`.
    """

    decoder: Decoder
    total: int

    def __init__(self, model: nn.Module) -> None:
        """Find and check the parts of ``model``."""
        self.decoder = Decoder(model)
        self.total = self.decoder.total

    def states(self, input_ids: Tensor, positions: slice | None = None) -> ByPolicy:
        """The states of one sequence: see `Decoder.states`."""
        return self.decoder.states(input_ids, positions)

    @torch.no_grad()
    def logits(self, states: Tensor, lens: Lens = "raw") -> Tensor:
        """All logits of a few states, [..., d] to [..., V]; for long sequences use `read` or `log_prob`."""
        return nn.functional.linear(self._through(states, lens), self.decoder.unembedding)

    def log_prob(
        self, states: Tensor, targets: Tensor, lens: Lens = "raw", temperature: float = 1.0
    ) -> LogProb:
        """log pi(targets), with gradient to states and unembedding: see `chunked_log_prob`."""
        return chunked_log_prob(self._through(states, lens), self.decoder.unembedding, targets, temperature)

    @torch.no_grad()
    def read(
        self,
        states: ByPolicy,
        lenses: Sequence[Lens] = LENSES,
        temperature: float = 1.0,
        compare: bool = True,
    ) -> dict[Lens, LensReading]:
        """Entropy of all 5L + 2 policies through each lens, with one stacked product per layer.

        Through ``final_norm`` every state goes through the final norm before the unembedding. The final
        policy is the same in both readings.

        Args:
            states: from `states`.
            lenses: one or both.
            temperature: divides the logits.
            compare: also KL to the final policy and top-1 agreement with it (the final policy's logits are
            then
                made once more for each layer).
        """
        unembedding = self.decoder.unembedding
        reference = make_reference(states.final, unembedding, temperature)
        names = ("entropy", "kl", "top1") if compare else ("entropy",)
        collected: dict[tuple[Lens, str], list[Tensor]] = {
            (lens, name): [] for lens in lenses for name in names
        }
        for index in range(self.total):
            block = states.parts[index]
            if index == 0:
                block = torch.cat([states.embedding[None], block])
            stack = torch.cat([self._through(block, lens) for lens in lenses])
            found = policy_statistics(stack, unembedding, reference if compare else None, temperature)
            for name in names:
                values = getattr(found, name)
                for lens, share in zip(lenses, values.split(block.shape[0]), strict=True):
                    collected[lens, name].append(share.to(found.entropy.dtype))
        ends = {
            "entropy": reference.entropy,
            "kl": torch.zeros_like(reference.entropy),
            "top1": torch.ones_like(reference.entropy),
        }

        def by_policy(lens: Lens, name: str) -> ByPolicy:
            first, *others = collected[lens, name]
            parts = torch.stack([first[1:], *others])
            assert parts.shape[1] == len(PARTS)
            return ByPolicy(first[0], parts, ends[name])

        return {lens: LensReading(*(by_policy(lens, name) for name in names)) for lens in lenses}

    def _through(self, states: Tensor, lens: Lens) -> Tensor:
        if lens not in LENSES:
            raise ValueError(f"lens {lens!r} is unknown: choose from {', '.join(LENSES)}")
        return self.decoder.final_norm(states) if lens == "final_norm" else states

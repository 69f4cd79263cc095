"""verl's engine without logits: [T, V] exists neither for old log-probs and reference nor in an update.

verl's engine asks the model for logits and works log-probs and entropy out of them. Here the unembedding
itself gives log-prob and entropy of each token, one tile of the vocabulary at a time. It does so in its own
forward, the only place where FSDP2 has put its weight together.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from verl.utils import tensordict_utils as tu
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from bupo.errors import UserError
from bupo.policies import chunked_log_prob
from bupo.policies.architectures import architecture_of, part

CHUNKED_KEY = "bupo_chunked_log_prob"
"""Entry of a batch's extra info: whether its log-probs are chunked, see ``bupo.chunked_log_prob``."""

OFF = "set bupo.chunked_log_prob = false"
REFUSED = ("calculate_sum_pi_squared", "distillation_use_topk", "distillation_only", "use_fused_kernels")
"""Entries of a batch that ask for what only logits can give, or for kernels that would take our place."""


class ChunkedEngine(FSDPEngineWithLMHead):
    """verl's engine, in which a batch may ask for chunked log-probs.

    They are float32 whatever the weights are, and so is the entropy, which has no gradient.
    """

    _reading: "Reading"

    def forward_step(
        self, micro_batch: TensorDict, loss_function: Callable[..., Any] | None, forward_only: bool
    ) -> Any:
        """As in verl.

        Raises:
            UserError: chunked log-probs were asked for, and something that cannot be had with them.
        """
        if not _asked(micro_batch, CHUNKED_KEY):
            return super().forward_step(micro_batch, loss_function, forward_only)
        for key in REFUSED:
            if _asked(micro_batch, key):
                raise UserError(f"{key} cannot be had without logits: {OFF}")
        self._reading = Reading()
        with self._reading.in_place_of_logits(self.module):
            return super().forward_step(micro_batch, loss_function, forward_only)

    def prepare_model_inputs(self, micro_batch: TensorDict) -> Any:
        """As in verl; the unembedding is told the labels."""
        inputs, arguments = super().prepare_model_inputs(micro_batch)
        if _asked(micro_batch, CHUNKED_KEY):
            self._reading.labels = arguments["input_ids_rmpad_rolled"]
            self._reading.mask = inputs["attention_mask"]
            self._reading.temperature = _single(micro_batch["temperature"])
        return inputs, arguments

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Tensor]:
        """As in verl, of what the unembedding gave in place of logits."""
        if not _asked(micro_batch, CHUNKED_KEY):
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        log_prob, entropy = self._reading.results(output.logits)
        found = {"log_probs": log_prob}
        if _asked(micro_batch, "calculate_entropy"):
            found["entropy"] = entropy
        offsets, padding = micro_batch["input_ids"].offsets(), output_args.get("pad_size", 0)
        return {
            name: torch.nested.nested_tensor_from_jagged(
                self._gather_and_unpad_packed(values, padding), offsets
            )
            for name, values in found.items()
        }


class Reading:
    """What the unembedding gives in place of the logits of one micro-batch.

    Attributes:
        labels: the token whose log-probability is wanted after each position, [N].
        mask: where the N positions lie in a padded batch, [B, S]; None: the states are packed, [1, N, d].
        temperature: divides the logits.
    """

    labels: Tensor
    mask: Tensor | None
    temperature: float

    def __init__(self) -> None:
        self.packed: Tensor | None = None

    @contextmanager
    def in_place_of_logits(self, model: nn.Module) -> Iterator[None]:
        """Inside, ``model(...).logits`` are log-prob and entropy of the labels, [N, 2].

        Args:
            model: a Hugging Face causal language model, also one that ``fully_shard`` (FSDP2) has wrapped.

        Raises:
            UserError: the model's architecture is unknown, or its unembedding is not a plain matrix.
        """
        names = architecture_of(model)
        head, config = part(model, names.unembedding), model.config
        if not isinstance(head, nn.Linear) or head.bias is not None:
            raise UserError(f"the unembedding of {type(model).__name__} is no plain matrix: {OFF}")
        softcap = None if names.softcap is None else getattr(config, names.softcap, None)

        def forward(states: Tensor) -> Tensor:
            self.packed = self._read(states, head.weight, softcap)
            return self.packed

        with ExitStack() as undo:
            if softcap is not None:  # the model would cap what it takes for its logits
                undo.callback(setattr, config, names.softcap, softcap)
                setattr(config, names.softcap, None)
            # An instance attribute shadows the class's forward and leaves the module's hooks (FSDP2's too).
            undo.callback(head.__dict__.pop, "forward")
            head.__dict__["forward"] = forward
            yield

    def results(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Log-prob, differentiable, and entropy in nats, each [N].

        Args:
            logits: what the model gave for them.

        Raises:
            UserError: they are not what the unembedding gave: the model does something with its logits.
        """
        packed, self.packed = self.packed, None  # the graph ends with the micro-batch
        if logits is not packed:
            raise UserError(f"the model changes its logits: {OFF}")
        log_prob, entropy = logits.unbind(-1)
        return log_prob, entropy

    def _read(self, states: Tensor, weight: Tensor, softcap: float | None) -> Tensor:
        rows = states.squeeze(0) if self.mask is None else states[self.mask.bool()]
        with torch.autocast(states.device.type, enabled=False):  # it would round the products' results
            found = chunked_log_prob(rows, weight, self.labels, self.temperature, softcap=softcap)
        packed = torch.stack(found, -1)
        if packed.requires_grad:
            packed.register_hook(_refuse_gradient_of_entropy)
        return packed


def _refuse_gradient_of_entropy(gradient: Tensor) -> None:
    if gradient[:, 1].any():
        raise UserError(f"chunked entropy has no gradient, but the loss needs one: {OFF}")


def _asked(micro_batch: TensorDict, key: str) -> bool:
    return bool(tu.get_non_tensor_data(data=micro_batch, key=key, default=False))


def _single(temperature: float | Tensor) -> float:
    if isinstance(temperature, Tensor):
        if temperature.unique().numel() > 1:
            raise UserError(f"samples differ in temperature: {OFF}")
        return float(temperature.flatten()[0])
    return float(temperature)

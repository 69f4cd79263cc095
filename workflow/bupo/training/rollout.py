"""Rollouts without a server: a plain Hugging Face model in the process of the training engine.

For machines without a GPU. verl's rollout there would be a server, an agent-loop worker, reward workers and
a router, each a process that imports torch; here a batch of prompts is sampled in one call to the worker
that holds the weights already. Weights are copied in after each step.
"""

import copy
from collections.abc import Generator
from typing import Any

import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica

from bupo.sampling import Completion, Request, SamplingSettings, decode, key_of

ROLLOUT_NAME = "hf"


class InProcessRollout(BaseRollout):
    """Samples with a copy of the trained weights.

    The copy is a model without FSDP, whose hooks would cost more than the tiny model itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        from transformers import AutoModelForCausalLM

        config = copy.deepcopy(self.model_config.hf_config)
        self.model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        self.model.requires_grad_(False)

    async def resume(self, tags: list[str]) -> None:
        """Weights and cache never left."""

    async def release(self) -> None:
        """Nothing to give back."""

    async def update_weights(
        self,
        weights: Generator[tuple[str, torch.Tensor], None, None],
        wire_format: str = "named_tensors",
        **kwargs: Any,
    ) -> None:
        """Copy the trained weights in.

        Raises:
            RuntimeError: a weight that the model does not have, or one that it has and did not get.
        """
        if wire_format != "named_tensors":
            raise RuntimeError(f"rollout {ROLLOUT_NAME!r} takes whole tensors, not {wire_format!r}")
        state = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        missing = {name for name, _ in self.model.named_parameters()}
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        for name, tensor in weights:
            if name in tied and name not in state:
                continue
            if name not in state:
                raise RuntimeError(
                    f"rollout {ROLLOUT_NAME!r} got the weight {name!r}, which its model does not have"
                )
            state[name].copy_(tensor)
            missing.discard(name)
        if missing:
            raise RuntimeError(f"rollout {ROLLOUT_NAME!r} got no weights for {sorted(missing)[:3]}")

    def generate(
        self, prompts: list[list[int]], names: list[list[str]], settings: SamplingSettings, batch_size: int
    ) -> list[list[Completion]]:
        """Samples of each prompt, at most ``batch_size`` sequences at a time.

        Args:
            prompts: token ids of each prompt.
            names: for each prompt the names of its samples, such as run seed, step, problem and number; a
                sample hangs on its name alone. All prompts have the same number of them.
            settings: how tokens are drawn.
            batch_size: in sequences; a prompt's samples are always together.
        """
        count = len(names[0])
        per_call = count * max(1, batch_size // count)
        requests = [
            Request(tuple(prompt), key_of(name))
            for prompt, group in zip(prompts, names, strict=True)
            for name in group
        ]
        samples: list[Completion] = []
        for start in range(0, len(requests), per_call):
            samples += decode(self.model, requests[start : start + per_call], settings)
        return [samples[start : start + count] for start in range(0, len(samples), count)]


class InProcessReplica(RolloutReplica):
    """verl's handle of a rollout server; there is none."""

    async def launch_servers(self) -> None:
        """The rollout lives in the worker: no server to start, wake or put to sleep."""
        self.servers = []
        self._server_address = f"in-process-{self.replica_rank}"
        self._server_handle = None  # type: ignore[assignment]

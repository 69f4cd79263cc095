"""The worker process: verl's actor and rollout, with our engine and sampling in it."""

from typing import Any

import torch
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils.device import get_device_name
from verl.workers.engine import EngineRegistry
from verl.workers.engine_workers import ActorRolloutRefWorker

from bupo.training import patches
from bupo.training.engine import InternalPolicyEngine
from bupo.training.rollout import InProcessRollout
from bupo.training.sampling import SamplingSettings

patches.apply()


def check_engine(strategy: str) -> None:
    """Make sure that verl will take our engine.

    Raises:
        RuntimeError: it would take another one, which would train the full policy in phase 1.
    """
    engine = EngineRegistry.get_engine_cls("language_model", strategy)
    if not issubclass(engine, InternalPolicyEngine):
        raise RuntimeError(f"verl takes {engine.__name__} for strategy {strategy!r} on {get_device_name()!r}")


class InternalPolicyWorker(ActorRolloutRefWorker):
    """verl's worker, checked to train with our engine."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined]
    def init_model(self) -> None:
        """Build engine and rollout."""
        check_engine(self.config.actor.strategy)
        if get_device_name() == "cpu" and not torch.distributed.is_initialized():
            # verl asks for "cpu:gloo,<device>:<backend>", in which the CPU would appear twice
            torch.distributed.init_process_group(backend="cpu:gloo")
        super().init_model()

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined]
    def generate(
        self, prompts: list[list[int]], names: list[list[str]], settings: dict[str, Any]
    ) -> list[Any]:
        """This rank's share of a batch of rollouts: prompts rank, rank + world size, ...

        Args:
            prompts: token ids of all prompts of the batch.
            names: of the samples of each prompt, see `bupo.training.sampling`.
            settings: `SamplingSettings` as a dictionary, and ``batch_size``.

        Returns:
            For each prompt of the share its samples.
        """
        if not isinstance(self.rollout, InProcessRollout):
            raise RuntimeError(f"the rollout is a {type(self.rollout).__name__}, which has servers to ask")
        share = slice(self.rank, None, self.world_size)
        batch_size = settings.pop("batch_size")
        if not prompts[share]:
            return []
        return self.rollout.generate(prompts[share], names[share], SamplingSettings(**settings), batch_size)

"""The workers: verl's actor, rollout and critic, with our engines and sampling in them."""

from typing import Any

import torch
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils.device import get_device_name
from verl.workers.config import TrainingWorkerConfig
from verl.workers.engine import EngineRegistry
from verl.workers.engine_workers import ActorRolloutRefWorker, TrainingWorker

from bupo.sampling import SamplingSettings
from bupo.training import patches
from bupo.training.critic import ValueEngine
from bupo.training.engine import InternalPolicyEngine
from bupo.training.rollout import InProcessRollout

patches.apply()


ENGINES = {"language_model": InternalPolicyEngine, "value_model": ValueEngine}
"""Ours, by verl's ``model_type``."""


def check_engine(strategy: str, kind: str = "language_model") -> None:
    """Make sure that verl will take our engine.

    Raises:
        RuntimeError: it would take another one, which would train the full policy in phase 1, or a critic
            that is another one in each run.
    """
    engine = EngineRegistry.get_engine_cls(kind, strategy)
    if not issubclass(engine, ENGINES[kind]):
        raise RuntimeError(f"verl takes {engine.__name__} for strategy {strategy!r} on {get_device_name()!r}")


def start_process_group() -> None:
    """The process group of a worker on a CPU, where there is none yet.

    verl asks for "cpu:gloo,<device>:<backend>", in which the CPU would appear twice.
    """
    if get_device_name() == "cpu" and not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend="cpu:gloo")


class InternalPolicyWorker(ActorRolloutRefWorker):
    """verl's worker, checked to train with our engine."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined]
    def init_model(self) -> None:
        """Build engine and rollout."""
        check_engine(self.config.actor.strategy)
        start_process_group()
        super().init_model()

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined]
    def reset_optimizer(self) -> None:
        """Let the policy's optimiser start anew."""
        engine: Any = self.actor.engine  # type: ignore[union-attr]
        engine.reset_optimizer()

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)  # type: ignore[attr-defined]
    def generate(
        self, prompts: list[list[int]], names: list[list[str]], settings: dict[str, Any]
    ) -> list[Any]:
        """This rank's share of a batch of rollouts: prompts rank, rank + world size, ...

        Args:
            prompts: token ids of all prompts of the batch.
            names: of the samples of each prompt, see `InProcessRollout.generate`.
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


class ValueWorker(TrainingWorker):
    """verl's worker of the critic, checked to train with our engine."""

    def __init__(self, config: TrainingWorkerConfig) -> None:
        check_engine(str(config.engine_config.strategy), "value_model")
        start_process_group()
        super().__init__(config)


OURS = {"ActorRolloutRefWorker": InternalPolicyWorker, "TrainingWorker": ValueWorker}
"""For the name of each of verl's workers the one that takes its place."""

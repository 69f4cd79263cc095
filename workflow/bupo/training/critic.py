"""The critic of PPO: verl's value engine, with a head that is the same in every run.

The critic is a model of its own, whole in every phase: where an internal policy is trained, its values are
still those of the rollouts, which are the full policy's.
"""

import torch
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithValueHead

from bupo.training.cpu_engine import CpuEngine


@EngineRegistry.register(model_type="value_model", backend=["fsdp2"], device="cuda", vendor="nvidia")
class ValueEngine(FSDPEngineWithValueHead):
    """verl's value engine; the first weights of the head hang on ``critic.fsdp.seed`` alone."""

    def _build_module(self) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.engine_config.seed)
            return super()._build_module()


@EngineRegistry.register(model_type="value_model", backend=["fsdp2"], device="cpu")
class ValueCpuEngine(CpuEngine, ValueEngine):
    """The same without an accelerator."""

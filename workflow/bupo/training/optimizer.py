"""verl's engine with an optimiser that knows the parts of the model, and that can start anew."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from tensordict import TensorDict
from torch import nn
from verl.workers.config.optimizer import build_optimizer
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from bupo.policies.architectures import architecture_of, part
from bupo.training.learning_rates import PARTS, LearningRates, check_tied, parts_of

OPTION = "learning_rates"
"""Key of verl's ``optim.override_optimizer_config`` under which the factors arrive."""
NAME = "part"
"""Key of a parameter group with the part's name."""


def parameter_groups(model: nn.Module, rates: LearningRates, rate: float) -> list[dict[str, Any]]:
    """A group for each part that learns; the parameters of the others are frozen.

    Args:
        model: the model, sharded or not.
        rates: factors of the parts.
        rate: the learning rate.

    Raises:
        UserError: the model has parameters that belong to no part.
    """
    names = architecture_of(model)
    head, embedding = part(model, names.unembedding), part(model, names.decoder, names.embedding)
    check_tied(rates, head.weight is embedding.weight, type(model).__name__)
    part_of = parts_of(model, rates.split)
    groups = []
    for name in PARTS:
        members = [each for each in model.parameters() if part_of[each] == name]
        if rates.of(name) == 0:
            for each in members:
                each.requires_grad_(False)
        elif members:
            groups.append({"params": members, "lr": rate * rates.of(name), NAME: name})
    return groups


class LayeredOptimizerEngine(FSDPEngineWithLMHead):
    """verl's engine, in which each part of the model may have a learning rate of its own."""

    rates: LearningRates

    def _build_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        options = dict(self.optimizer_config.override_optimizer_config or {})
        self.rates = LearningRates(**options.pop(OPTION, {}))
        config = replace(self.optimizer_config, override_optimizer_config=options or None)
        if self.rates.plain:
            return build_optimizer(module.parameters(), config)
        return build_optimizer(parameter_groups(module, self.rates, config.lr), config)

    def train_batch(self, data: TensorDict, loss_function: Callable[..., Any]) -> Any:
        """As in verl, with the rate of each part among the metrics where they differ: ``lr_upper``, ..."""
        outputs = super().train_batch(data, loss_function)
        if not self.rates.plain and self.is_mp_src_rank_with_outputs():
            for name in PARTS:
                outputs["metrics"][f"lr_{name}"] = [self._rate() * self.rates.of(name)]
        return outputs

    def lr_scheduler_step(self) -> float:
        """Advance the schedule; returns the rate, before any part's factor, of the updates up to here."""
        rate = self._rate()
        self.lr_scheduler.step()
        return rate

    def reset_optimizer(self) -> None:
        """Forget the moments and the number of updates of every parameter; learning rates go on."""
        self.optimizer.state.clear()

    def _rate(self) -> float:
        # the groups share one schedule
        share = self.optimizer.param_groups[0]["lr"] / self.lr_scheduler.base_lrs[0]
        return float(self.optimizer_config.lr * share)

"""What verl's FSDP2 engine needs to run well on a machine without an accelerator."""

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine


class CpuEngine(FSDPEngine):
    """To be put before another engine."""

    def forward_backward_batch(
        self, data: TensorDict, loss_function: Callable[..., Any], forward_only: bool = False
    ) -> Any:
        """As in verl, with sequences of like length in a micro-batch: padding would cost a fifth of the time.

        Losses are sums over the whole batch, so that the order within it changes nothing but rounding.
        """
        order = data["input_ids"].offsets().diff().argsort(stable=True)
        back = order.argsort()
        ordered = tu.index_select_tensor_dict(data, order)
        limit = tu.get_non_tensor_data(data=data, key="micro_batch_size_per_gpu", default=None) or len(data)
        tu.assign_non_tensor(ordered, micro_batch_size_per_gpu=_largest_divisor(len(data), limit))
        output: Any = super().forward_backward_batch(ordered, loss_function, forward_only=forward_only)
        for key, value in output["model_output"].items():
            rows = value.unbind()
            output["model_output"][key] = torch.nested.as_nested_tensor(
                [rows[i] for i in back], layout=torch.jagged
            )
        return output

    def _build_fsdp_module(self, module: torch.nn.Module) -> torch.nn.Module:
        # A forward-only engine (reference policy) asks FSDP2 for offloading to the CPU with pinned memory,
        # which needs a GPU; verl reads the flag here for that alone.
        forward_only = self.engine_config.forward_only
        object.__setattr__(self.engine_config, "forward_only", False)
        try:
            return super()._build_fsdp_module(module)
        finally:
            object.__setattr__(self.engine_config, "forward_only", forward_only)


def _largest_divisor(number: int, limit: int) -> int:
    return max(size for size in range(1, min(number, limit) + 1) if number % size == 0)

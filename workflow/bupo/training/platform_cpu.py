"""verl's platform for machines without an accelerator.

Chosen by ``VERL_PLATFORM=cpu`` and by nothing else: `is_platform_available` is False, so that verl never
picks it on its own.
"""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

_ZERO = ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved")
_NOTHING = (
    "empty_cache",
    "ipc_collect",
    "manual_seed",
    "manual_seed_all",
    "reset_peak_memory_stats",
    "set_device",
    "set_rng_state",
)


class _CpuDevice(types.ModuleType):
    """``torch.cpu`` with the memory functions that verl calls on ``torch.cuda``; others raise as usual."""

    def __getattr__(self, name: str) -> Any:
        if hasattr(torch.cpu, name):
            return getattr(torch.cpu, name)
        if name in _ZERO:
            return lambda *args, **kwargs: 0
        if name in _NOTHING:
            return lambda *args, **kwargs: None
        if name == "get_device_name":
            return lambda *args, **kwargs: "CPU"
        if name == "mem_get_info":
            return lambda *args, **kwargs: (0, 0)
        raise AttributeError(f"the CPU platform has no {name}")


@PlatformRegistry.register(platform="cpu")
class PlatformCpu(PlatformBase):
    """The CPU as a device; its Ray resource is a logical "GPU" slot, one for each rank."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _CpuDevice("bupo_cpu_device")

    def is_available(self) -> bool:
        """There is always a CPU."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Never detected: only ``VERL_PLATFORM=cpu`` chooses this platform."""
        return False

    def current_device(self) -> Any:
        """What ``tensor.to`` takes; an index would mean a CUDA device."""
        return "cpu"

    def device_count(self) -> int:
        """One."""
        return 1

    def set_device(self, device_index: int) -> None:
        """Nothing to set."""

    def synchronize(self, device_index: int | None = None) -> None:
        """CPU work is done when the call returns."""

    def manual_seed(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seed torch."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """The CPU allocator has none."""

    def empty_cache(self) -> None:
        """There is no cache."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        """No compute capability."""
        return None, None

    def communication_backend_name(self) -> str:
        """Gloo."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """The variable that Ray sets for its "GPU" slots."""
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """No ranges."""
        yield

    def profiler_start(self) -> None:
        """No device profiler."""

    def profiler_stop(self) -> None:
        """No device profiler."""

    def ray_resource_name(self) -> str:
        """Logical slots: verl counts ranks in them."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """None."""
        return []

    def is_ipc_supported(self) -> bool:
        """No device memory to share."""
        return False

    def cudart(self) -> Any:
        """No CUDA runtime."""
        return None

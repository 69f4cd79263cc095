"""verl's control plane within one process: no Ray, no servers, no sockets between processes.

verl's trainer drives worker groups, reward workers, rollout servers and a queue, each in Ray actors. On one
CPU rank they cost more than the training: a dozen processes, most of which import torch. Here the same
trainer, engine, losses and data run in one process; only the classes that pass messages are stand-ins.
Several ranks and GPUs use Ray.
"""

import asyncio
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import ray
import torch
from tensordict import NonTensorData, NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.single_controller.base.decorator import MAGIC_ATTR, Dispatch
from verl.single_controller.ray import ResourcePoolManager
from verl.utils import tensordict_utils as tu

from bupo.training.memory_queue import MemoryQueue


@contextmanager
def one_process() -> Iterator[None]:
    """Inside, verl's trainer uses the stand-ins; `bupo.training.patches` lists what they replace."""
    import transfer_queue

    from bupo.training.patches import QUEUE_FUNCTIONS, TRAINER_CLASSES, TRAINER_RAY

    queue = MemoryQueue()
    stand_ins: dict[str, Any] = {
        "create_colocated_worker_cls": lambda class_dict: class_dict,
        "RayWorkerGroup": lambda resource_pool, ray_cls_with_init, **kwargs: Spawner(
            ray_cls_with_init, queue
        ),
        "ResourcePoolManager": Pools,
        "RewardLoopManager": NoRewardWorkers,
        "LLMServerManager": NoServers,
        "CheckpointEngineManager": DirectWeights,
    }
    from verl.trainer.ppo.v1 import trainer_base

    _start_process_group()
    with ExitStack() as stack:
        for name in TRAINER_CLASSES:
            stack.enter_context(mock.patch.object(trainer_base, name, stand_ins[name]))
        stack.enter_context(mock.patch.object(trainer_base, TRAINER_RAY, NoRay))
        for name in QUEUE_FUNCTIONS:
            stack.enter_context(mock.patch.object(transfer_queue, name, getattr(queue, name)))
        yield


def _start_process_group() -> None:
    # A process group of one, without a port: two runs on a machine cannot meet.
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(
            backend="cpu:gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )


class Pools(ResourcePoolManager):
    """Resource pools without placement groups."""

    def create_resource_pool(self) -> None:
        """One name for each pool; verl only uses them as keys."""
        self.resource_pool_dict = {name: name for name in self.resource_pool_spec}  # type: ignore[misc]


class Spawner:
    """What verl gets for a resource pool: it makes a worker for each role."""

    def __init__(self, classes: Mapping[str, Any], queue: MemoryQueue) -> None:
        self.classes, self.queue = classes, queue

    def spawn(self, prefix_set: Any) -> dict[str, "LocalWorkerGroup"]:
        """The worker of each role, made here."""
        groups = {}
        for role in prefix_set:
            entry = self.classes[role]
            worker = entry.cls.__ray_metadata__.modified_class(*entry.args, **entry.kwargs)
            groups[role] = LocalWorkerGroup(worker, self.queue)
        return groups


class LocalWorkerGroup:
    """A worker group of one rank, whose methods are called directly.

    Batches that verl passes by key are read from the queue and results written back, as verl's bridge does.
    """

    world_size = 1

    def __init__(self, worker: Any, queue: MemoryQueue) -> None:
        self._worker, self._queue = worker, queue
        self._dispatch_info: dict[str, list[int]] = {}

    def _query_dispatch_info(self, mesh_name: str) -> list[int]:
        return [self._worker._query_dispatch_info(mesh_name)]

    def __getattr__(self, name: str) -> Any:
        """The worker's method of that name."""
        method = getattr(self._worker, name)
        attributes = getattr(method, MAGIC_ATTR, None)
        if attributes is None:
            raise AttributeError(
                f"{type(self._worker).__name__}.{name} is not a method that verl calls remotely"
            )

        def call(*args: Any, **kwargs: Any) -> Any:
            result = self._call(method, args, kwargs)
            if attributes["dispatch_mode"] == Dispatch.ONE_TO_ALL:  # type: ignore[attr-defined]
                return [result]
            return result if attributes["blocking"] else Done(result)

        return call

    def _call(self, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        meta = next((arg for arg in [*args, *kwargs.values()] if isinstance(arg, KVBatchMeta)), None)
        args = tuple(self._read(arg) if isinstance(arg, KVBatchMeta) else arg for arg in args)
        kwargs = {
            key: self._read(arg) if isinstance(arg, KVBatchMeta) else arg for key, arg in kwargs.items()
        }
        result = method(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
        if meta is not None and isinstance(result, TensorDict) and result.batch_size:
            return self._write(result, meta)
        return result

    def _read(self, meta: KVBatchMeta) -> TensorDict:
        data = self._queue.kv_batch_get(meta.keys, str(meta.partition_id), meta.fields)
        for key, value in (meta.extra_info or {}).items():
            tu.assign_non_tensor_data(data, key, value)
        return data

    def _write(self, output: TensorDict, meta: KVBatchMeta) -> KVBatchMeta:
        columns = {
            key: value for key, value in output.items() if isinstance(value, (torch.Tensor, NonTensorStack))
        }
        written = self._queue.kv_batch_put(
            meta.keys, str(meta.partition_id), TensorDict(columns, batch_size=len(meta.keys))
        )
        written.extra_info = {
            key: value.data for key, value in output.items() if isinstance(value, NonTensorData)
        }
        return written


class Done:
    """What verl gets for a call that it does not wait for."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.futures: list[Any] = []

    def get(self) -> Any:
        """The result."""
        return self.result


class NoRay:
    """What verl's trainer uses of Ray; nothing is ever waited for."""

    remote = staticmethod(ray.remote)

    @staticmethod
    def get(futures: list[Any]) -> list[Any]:
        """The futures of a `Done`."""
        return futures


class NoRewardWorkers:
    """Rewards are computed where the rollout is."""

    reward_loop_worker_handles: tuple[Any, ...] = ()

    def __init__(self, config: Any, rm_resource_pool: Any = None) -> None:
        self.reward_loop_workers: list[Any] = []


class NoServers:
    """Rollouts come from the worker itself."""

    @classmethod
    def create(cls, **kwargs: Any) -> "NoServers":
        """Nothing to launch."""
        return cls()

    def get_replicas(self) -> list[Any]:
        """None."""
        return []

    def get_client(self) -> None:
        """None."""

    def start_profile(self) -> None:
        """Nothing to profile."""

    def stop_profile(self) -> None:
        """Nothing to profile."""


class DirectWeights:
    """Weight synchronisation by a direct call."""

    def __init__(self, config: Any, actor_wg: LocalWorkerGroup, replicas: list[Any]) -> None:
        self.actor_wg = actor_wg

    def sleep_replicas(self) -> None:
        """Nothing sleeps."""

    def wake_up_replicas(self) -> None:
        """Nothing sleeps."""

    def update_weights(self, global_steps: int | None = None) -> dict[str, Any]:
        """Copy the trained weights into the rollout's model."""
        self.actor_wg.update_weights(global_steps=global_steps, mode="naive")
        return {}

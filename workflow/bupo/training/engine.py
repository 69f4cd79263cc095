"""verl's FSDP2 engine, with the forward pass of the policy that the trainer names for each batch."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.engine import EngineRegistry

from bupo.policies import LayerIndex, Lens, truncated_forward
from bupo.training.chunked import ChunkedEngine
from bupo.training.cpu_engine import CpuEngine
from bupo.training.optimizer import LayeredOptimizerEngine

POLICY_KEY = "bupo_policy"
"""Entry of a batch's extra info: the name of the policy that it is for, see `policy_name`."""
FULL_POLICY = "full"
EXPORT_FOLDER = ".model.partial"
"""A checkpoint path of this name asks for the model in Hugging Face's format instead of a checkpoint."""


def policy_name(layer: LayerIndex | None, lens: Lens) -> str:
    """The name that a policy has in a batch: text, which every part of verl passes on as it is."""
    return FULL_POLICY if layer is None else f"{layer.number}/{layer.total}/{lens}"


def named_policy(name: str) -> tuple[LayerIndex | None, Lens]:
    """The policy of a name: its layer, None for the full policy, and its lens."""
    if name == FULL_POLICY:
        return None, "raw"
    number, total, lens = name.split("/")
    return LayerIndex(int(number), int(total)), "raw" if lens == "raw" else "final_norm"


@EngineRegistry.register(model_type="language_model", backend=["fsdp2"], device="cuda", vendor="nvidia")
class InternalPolicyEngine(LayeredOptimizerEngine, ChunkedEngine):
    """Runs log-probabilities and updates of the policy named by `POLICY_KEY`.

    An internal policy's forward stops after its layer, so that the layers above cost nothing and get no
    gradient: None, not zero.
    """

    def forward_backward_batch(
        self, data: TensorDict, loss_function: Callable[..., Any], forward_only: bool = False
    ) -> Any:
        """As in verl, under the truncated forward of the batch's policy.

        Raises:
            ValueError: the batch does not say which policy it is for. Training on would train the wrong one.
        """
        policy = tu.get_non_tensor_data(data=data, key=POLICY_KEY, default=None)
        if policy is None:
            raise ValueError(f"a batch without {POLICY_KEY!r}: it does not say which policy it is for")
        layer, lens = named_policy(policy)
        with truncated_forward(self.module, layer, lens):
            return super().forward_backward_batch(data, loss_function, forward_only=forward_only)

    def save_checkpoint(
        self,
        local_path: str,
        hdfs_path: str | None = None,
        global_step: int = 0,
        max_ckpt_to_keep: int | None = None,
        **kwargs: Any,
    ) -> None:
        """A verl checkpoint, or the whole model in Hugging Face's format under the name `EXPORT_FOLDER`."""
        if Path(local_path).name == EXPORT_FOLDER:
            self._export(Path(local_path))
            return
        super().save_checkpoint(local_path, hdfs_path, global_step, max_ckpt_to_keep, **kwargs)

    def _export(self, folder: Path) -> None:
        """Write config, safetensors, generation config and tokenizer; all ranks take part, rank 0 writes."""
        from transformers import AutoModelForCausalLM, GenerationConfig

        parameters, _ = self.get_per_tensor_param()
        config = copy.deepcopy(self.model_config.hf_config)  # saving writes into it
        dtype = getattr(config, "dtype", None) or torch.float32
        state = {name: tensor.detach().to("cpu", dtype) for name, tensor in parameters}
        if self.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config, dtype=dtype)
            source = str(self.model_config.local_path)
            if (Path(source) / "generation_config.json").exists():
                model.generation_config = GenerationConfig.from_pretrained(source)
            model.save_pretrained(folder, state_dict=state)
            self.model_config.tokenizer.save_pretrained(folder)
        torch.distributed.barrier()


@EngineRegistry.register(model_type="language_model", backend=["fsdp2"], device="cpu")
class InternalPolicyCpuEngine(CpuEngine, InternalPolicyEngine):
    """The same without an accelerator."""

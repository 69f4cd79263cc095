"""Every change that is made to verl from outside, each with its reason; all else goes through verl's hooks.

Written against verl 0.9.1. `tests/training/test_patches.py` fails when verl changes under one of them. Each
is applied only in processes of our own training, never by the entry point.
"""

import sys
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError

if TYPE_CHECKING:
    import torch

VERL_VERSION = "0.9.1"

TRAINER_CLASSES = (
    "create_colocated_worker_cls",
    "RayWorkerGroup",
    "ResourcePoolManager",
    "RewardLoopManager",
    "LLMServerManager",
    "CheckpointEngineManager",
)
"""Names in ``verl.trainer.ppo.v1.trainer_base`` that `single_process` replaces while such a run lasts.

verl's trainer has no other way to say that its parts live in this process."""

TRAINER_RAY = "ray"
"""Module in ``verl.trainer.ppo.v1.trainer_base`` that `single_process` replaces.

verl waits for the critic's values with ``ray.get``, which would start a Ray."""

QUEUE_FUNCTIONS = ("init", "close", "kv_batch_put", "kv_batch_get", "kv_list", "kv_clear")
"""Functions of ``transfer_queue`` that `single_process` replaces, for the same reason."""


def apply() -> None:
    """Apply every patch that this process needs; applying twice is harmless."""
    register_rollout()
    whole_logsumexp()
    configured_critic()


def register_rollout() -> None:
    """Make ``rollout.name: hf`` known.

    Replicas have a registry, the classes of the training side a plain dictionary without a function to add
    to it.
    """
    from verl.workers.rollout import base, replica

    from bupo.training.rollout import ROLLOUT_NAME

    base._ROLLOUT_REGISTRY[(ROLLOUT_NAME, "async")] = "bupo.training.rollout.InProcessRollout"

    def load() -> type:
        from bupo.training.rollout import InProcessReplica

        return InProcessReplica

    replica.RolloutReplicaRegistry.register(ROLLOUT_NAME, load)


def whole_logsumexp() -> None:
    """On a CPU, take the normaliser of all tokens' logits in one call.

    verl loops over tokens in Python to save GPU memory; with a tiny model that loop is a tenth of an update.
    """
    from verl.utils import torch_functional
    from verl.utils.device import get_device_name

    if get_device_name() == "cpu":
        torch_functional.logprobs_from_logits_v2 = logprobs_from_logits


def logprobs_from_logits(logits: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Log-probability of each label, (..., V) and (...) -> (...), as verl computes it for float32."""
    chosen = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return chosen - logits.logsumexp(-1)


def configured_critic() -> None:
    """Build the critic with the attention that is configured.

    verl asks for flash-attention whatever is configured, takes any error for a model without a value head,
    and then wants trl.
    """
    from verl.utils import model

    model.load_valuehead_model = load_critic


def load_critic(local_path: str, torch_dtype: Any, model_config: Any, trust_remote_code: bool) -> Any:
    """A model with a value for each token; verl's `load_valuehead_model`.

    Raises:
        UserError: transformers has no such model of this architecture.
    """
    from transformers import MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING, AutoModelForTokenClassification

    if type(model_config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        raise UserError(
            f"critic.model.path = {local_path}: transformers has no {model_config.model_type} with a value "
            "for each token, which PPO's critic needs"
        )
    return AutoModelForTokenClassification.from_pretrained(
        local_path, dtype=torch_dtype, config=model_config, trust_remote_code=trust_remote_code
    )


def without_router() -> None:
    """In-process rollouts need no router: a process that imports verl (8 s, 300 MB) and is never asked."""
    from verl.trainer.ppo.v1 import trainer_base

    from bupo.training.rollout import ROLLOUT_NAME

    original = trainer_base.LLMServerManager

    class Manager(original):  # type: ignore[misc, valid-type]
        async def _init_global_load_balancer(self) -> Any:
            self.global_load_balancer = None
            if self.rollout_config.name != ROLLOUT_NAME:
                await super()._init_global_load_balancer()

    if original.__name__ != "Manager":
        trainer_base.LLMServerManager = Manager  # type: ignore[misc]


def without_sklearn() -> None:
    """Spare transformers the import of scikit-learn (1.5 s, 60 MB), of which it uses one function we do not.

    Before transformers is imported; it then takes scikit-learn for not installed.
    """
    if "transformers" not in sys.modules:
        sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]

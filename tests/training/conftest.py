"""A tiny model, a few problems and complete configurations, made from the project's own configs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_model import save_model

# verl chooses its platform once, when it is imported first
os.environ["VERL_PLATFORM"] = "cpu"
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four layers, Qwen3, tied."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty problems in verl's schema: with batches of 8, an epoch has two steps."""
    import pandas as pd

    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"{number}+{number * 7 % 10}="}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(number + number * 7 % 10)},
            "extra_info": {"index": number, "split": "train", "id": f"sums-{number}"},
        }
        for number in range(20)
    ]
    path = tmp_path_factory.mktemp("data") / "train.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


SMALL = [
    "data.train_batch_size=8",
    "data.max_prompt_length=16",
    "data.max_response_length=12",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.optim.lr=0.01",
    "trainer.total_training_steps=4",
    "trainer.save_freq=1",
]


@pytest.fixture(scope="session")
def compose(root: Path, model_folder: Path, problems: Path) -> Callable[..., dict[str, Any]]:
    """``compose(*overrides)``: a complete configuration; its reward is the share of digits, which can be learned."""
    from bupo.experiment.compose import compose_cell

    def make(*overrides: str) -> dict[str, Any]:
        values = {
            "bupo.model": "tiny",
            "bupo.cell": "test",
            "bupo.layers": 4,
            "actor_rollout_ref.model.path": str(model_folder),
            "data.train_files": [str(problems)],
            "reward.custom_reward_function.path": str(Path(__file__).with_name("digit_reward.py")),
        }
        return compose_cell(root / "configs", [*SMALL, *overrides], values, where="test")

    return make


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    """A process group of one rank, without a port."""
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()

"""A few real steps of a tiny model through the command line, with rollouts by vLLM."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpu_check_engine import NotRunError, Setting

ROOT = Path(__file__).resolve().parents[1]
BOUND = 0.01
"""Mean difference between the probabilities of the sampled tokens as the rollout and as the trained model say
them, in the worst step; bfloat16 gives some 1e-3, rollouts with the weights of the step before 0.25."""
OVERRIDES = (
    "algorithm=bupo",
    "data.train_batch_size=8",
    "data.max_prompt_length=64",
    "data.max_response_length=32",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.optim.lr=0.003",
    "trainer.total_training_steps=4",
    "trainer.save_freq=4",
    "trainer.n_gpus_per_node=1",
)
ON_GPU = (
    "engine=gpu",
    "data.dataloader_num_workers=0",
    "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.3",
    "actor_rollout_ref.rollout.agent.num_workers=2",
    "reward.num_workers=2",
)


def check_run(setting: Setting, folder: Path) -> dict[str, Any]:
    """A step of phase 1 and three of the full policy, whose rollouts need the weights of the step before."""
    for name, package in (("vllm", "vLLM"), ("flash_attn", "flash-attn")):
        if setting.device == "cuda" and find_spec(name) is None:
            raise NotRunError(f"{package} is not installed")
    config, out = write_config(folder, setting), folder / "run"
    command = [sys.executable, "-m", "bupo.training", "--config", str(config), "--out", str(out)]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stderr.strip().splitlines()[-1]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return judge_run(lines)


def write_config(folder: Path, setting: Setting) -> Path:
    """A random model with a tokenizer, problems and a configuration for them."""
    import pandas as pd

    from bupo.experiment.compose import compose_cell
    from bupo.files import to_yaml
    from bupo.models.architectures import random_model
    from bupo.models.config import BuiltModel, TokenizerConfig, WarmUpConfig
    from bupo.models.tokenizer import build_tokenizer

    tokenizer = build_tokenizer(TokenizerConfig(problems=300))
    built = BuiltModel(
        architecture="qwen3",
        hidden_size=128,
        intermediate_size=256,
        attention_heads=4,
        key_value_heads=2,
        head_dim=32,
        rope_theta=10000.0,
        initializer_range=0.05,
        tie_word_embeddings=True,
        tokenizer=TokenizerConfig(problems=300),
        warm_up=WarmUpConfig(steps=1),
    )
    random_model(built, 4, tokenizer, seed=0).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows = [
        {
            "data_source": "words",
            "prompt": [{"role": "user", "content": f"Say {number}."}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(number)},
            "extra_info": {"index": number, "split": "train", "id": f"words-{number}"},
        }
        for number in range(32)
    ]
    pd.DataFrame(rows).to_parquet(folder / "problems.parquet")
    values = {
        "bupo.model": "tiny",
        "bupo.cell": "gpu-check",
        "bupo.layers": 4,
        "bupo.layer": 2,
        "bupo.iterative_steps": 1,
        "actor_rollout_ref.model.path": str(folder / "model"),
        "data.train_files": [str(folder / "problems.parquet")],
        "reward.custom_reward_function.path": str(ROOT / "benchmarks" / "gpu_check_reward.py"),
    }
    overrides = [*OVERRIDES, *(ON_GPU if setting.device == "cuda" else ("engine=cpu",))]
    path = folder / "config.yaml"
    path.write_text(to_yaml(compose_cell(ROOT / "configs", overrides, values, where="gpu-check")))
    return path


def judge_run(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether the steps are those asked for, and the rollouts those of the weights just trained."""
    phases = [line["bupo/phase"] for line in lines]
    assert phases == [1, 2, 2, 2], f"phases of the steps are {phases}"
    assert all(line["actor/grad_norm"] > 0 for line in lines), "a step trained nothing"
    differences = [line["training/rollout_probs_diff_mean"] for line in lines[1:]]
    assert max(differences) < BOUND, f"rollouts are of other weights than those trained: {differences}"
    return {"rollout_probs_diff_mean": max(differences), "seconds_per_step": lines[-1]["perf/time_per_step"]}

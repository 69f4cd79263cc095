import copy
import json
import subprocess
import sys

import pytest

from bupo.errors import UserError
from bupo.experiment.compose import compose_cell
from bupo.identity import config_sha256
from bupo.training.settings import check


@pytest.fixture(scope="module")
def bupo_config(compose):
    return compose("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=2")


def changed(config, **values):
    config = copy.deepcopy(config)
    for key, value in values.items():
        at = config
        *path, last = key.split("__")
        for name in path:
            at = at[name]
        at[last] = value
    return config


def test_the_projects_configs_pass(bupo_config, compose):
    assert [phase.steps for phase in check(bupo_config, "c").phases] == [2, None]
    assert check(compose(), "c").at(1).layer is None
    assert check(compose("algorithm=intergrpo", "++bupo.layer=4"), "c").at(4).layer.number == 4


@pytest.mark.parametrize("engine", ["cpu", "gpu"])
def test_the_papers_settings(root, engine):
    values = {
        "bupo.model": "m",
        "bupo.cell": "c",
        "bupo.layers": 36,
        "bupo.layer": 6,
        "bupo.iterative_steps": 30,
        "actor_rollout_ref.model.path": "m",
        "data.train_files": ["t.parquet"],
    }
    config = compose_cell(root / "configs", ["algorithm=bupo", f"engine={engine}"], values, where="test")
    actor, rollout = config["actor_rollout_ref"]["actor"], config["actor_rollout_ref"]["rollout"]
    assert config["bupo"]["schedule"] == [{"layer": 6, "steps": 30}, {"layer": "final"}]
    assert config["algorithm"]["adv_estimator"] == "grpo"
    assert actor["loss_agg_mode"] == "seq-mean-token-mean"
    assert (actor["clip_ratio"], actor["clip_ratio_c"], actor["grad_clip"]) == (0.2, 10.0, 1.0)
    assert (actor["entropy_coeff"], actor["use_kl_loss"]) == (0.0, False)
    assert (rollout["n"], rollout["temperature"]) == (8, 1.0)
    if engine == "gpu":
        batch, updates = config["data"]["train_batch_size"], actor["ppo_mini_batch_size"]
        assert batch / updates * actor["ppo_epochs"] == 16
        assert (actor["optim"]["lr"], config["data"]["max_response_length"]) == (1e-6, 7168)
        assert (config["trainer"]["device"], rollout["name"]) == ("cuda", "vllm")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bupo__layers": 5}, r"bupo\.layers = 5, but .* has 4 layers"),
        ({"bupo__schedule": [{"layer": 9}]}, r"\.layer = 9 should be a layer from 1 to 4"),
        ({"bupo__reward": {"grader": "exact"}}, r"bupo\.reward\.grader = 'exact'"),
        ({"bupo__seed": "one"}, r"bupo\.seed"),
        ({"bupo__single_process": None}, r"bupo\.single_process"),
        ({"trainer__total_training_steps": 1}, r"2 steps, more than trainer\.total_training_steps = 1"),
        ({"trainer__save_freq": -1}, r"trainer\.save_freq = -1"),
        ({"trainer__n_gpus_per_node": 2}, r"bupo\.single_process"),
        ({"trainer__device": "cuda"}, r"rollout\.name = 'hf' should be 'vllm'"),
        ({"trainer__v1__trainer_mode": "sync"}, r"trainer_mode = 'sync' should be 'bupo'"),
        ({"actor_rollout_ref__actor__strategy": "fsdp"}, r"strategy = 'fsdp' should be 'fsdp2'"),
        ({"actor_rollout_ref__rollout__top_p": 0.9}, r"top_p"),
        ({"data__train_files": ["nowhere.parquet"]}, r"data\.train_files: there is no file nowhere\.parquet"),
        ({"bupo__optimizer_at_switch": "forget"}, r"bupo\.optimizer_at_switch = 'forget'"),
        ({"bupo__learning_rates": {"upper": 0.1}}, r"learning_rates\.split is missing"),
        ({"bupo__learning_rates": {"split": 5}}, r"learning_rates\.split = 5 should be a layer from 1 to 4"),
        ({"bupo__learning_rates": {"upper": -1}}, r"learning_rates\.upper = -1"),
        ({"bupo__learning_rates": {"middle": 1}}, r"learning_rates\.middle is not a known key"),
        (
            {"bupo__learning_rates": {"embedding": 0}},
            r"embedding = 0\.0 and unembedding = 1\.0 .* one matrix",
        ),
        ({"bupo__learning_rates": {"split": 2, "lower": 0}}, r"all layers that phase 1 of .* trains, 1 to 2"),
        ({"bupo__learning_rates": {"split": 4, "lower": 0}}, r"all layers that phase 1 of"),
    ],
)
def test_mistakes_are_told_before_anything_runs(bupo_config, change, told):
    with pytest.raises(UserError, match=told):
        check(changed(bupo_config, **change), "cell.yaml")


def test_layers_that_a_later_phase_trains_may_be_frozen(bupo_config):
    check(changed(bupo_config, bupo__learning_rates={"split": 1, "lower": 0}), "c")


def test_layers_of_a_model_that_sees_images_are_those_of_its_text(bupo_config, tmp_path):
    """As Gemma 3 has them."""
    model = {"model_type": "gemma3", "text_config": {"num_hidden_layers": 4, "model_type": "gemma3_text"}}
    (tmp_path / "config.json").write_text(json.dumps(model))
    config = changed(bupo_config, actor_rollout_ref__model__path=str(tmp_path))
    check(config, "c")
    with pytest.raises(UserError, match=r"bupo\.layers = 3, but .* has 4 layers"):
        check(changed(config, bupo__layers=3), "c")


@pytest.mark.parametrize(
    ("settings", "model", "updates", "length", "reduction", "grader"),
    [
        ("paper", "qwen3_4b", 16, 7168, "seq-mean-token-mean", "math_verify"),
        ("paper", "octothinker_3b", 16, 3072, "seq-mean-token-mean", "math_verify"),
        ("scripts", "qwen3_8b", 4, 8192, "token-mean", "string"),
        ("scripts", "octothinker_8b", 4, 3072, "token-mean", "string"),
        ("scripts", "another", 4, 8192, "token-mean", "string"),
    ],
)
def test_the_numbers_of_paper_and_scripts(root, settings, model, updates, length, reduction, grader):
    values = {
        "bupo.model": model,
        "bupo.cell": "c",
        "bupo.layers": 36,
        "actor_rollout_ref.model.path": "m",
        "data.train_files": ["t.parquet"],
    }
    groups = ["algorithm=ppo", f"settings={settings}", "engine=gpu"]
    config = compose_cell(root / "configs", groups, values, where="test")
    actor, critic = config["actor_rollout_ref"]["actor"], config["critic"]
    assert config["bupo"]["settings"] == settings and "of_model" not in config
    assert config["data"]["max_response_length"] == length
    assert config["reward"]["custom_reward_function"]["reward_kwargs"] == {"grader": grader}
    for part in (actor, critic):
        assert (
            config["data"]["train_batch_size"] / part["ppo_mini_batch_size"] * part["ppo_epochs"] == updates
        )
        assert part["loss_agg_mode"] == reduction
    assert (actor["optim"]["lr"], critic["optim"]["lr"]) == (1e-6, 1e-5)
    assert critic["model"]["override_config"] == {"attn_implementation": "flash_attention_2"}
    assert (critic["fsdp"]["use_dynamic_bsz"], critic["strategy"]) == (True, "fsdp2")


def test_a_small_engine_lays_its_sizes_over_the_settings(compose):
    for settings in ("paper", "scripts"):
        config = compose(f"settings={settings}")
        assert (
            config["data"]["max_response_length"],
            config["actor_rollout_ref"]["actor"]["ppo_epochs"],
        ) == (12, 1)


def test_identity_is_that_of_the_values(bupo_config):
    shuffled = dict(reversed(bupo_config.items()))
    assert config_sha256(shuffled) == config_sha256(bupo_config)
    assert config_sha256(changed(bupo_config, bupo__seed=2)) != config_sha256(bupo_config)


def test_how_often_a_run_is_kept_is_no_part_of_its_identity(bupo_config):
    assert bupo_config["bupo"]["snapshot_every"] is None
    assert config_sha256(changed(bupo_config, bupo__snapshot_every=4)) == config_sha256(bupo_config)


def test_command_line_tells_a_missing_file(tmp_path):
    command = [
        sys.executable,
        "-m",
        "bupo.training",
        "--config",
        "nowhere.yaml",
        "--out",
        str(tmp_path / "run"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "error: nowhere.yaml: there is no such file.\n"
    assert not (tmp_path / "run").exists()

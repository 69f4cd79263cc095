import json

import pytest

from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.experiment.compose import compose_cell, composed
from bupo.experiment.composed import composed_file, filled, kept, of_text
from bupo.experiment.configure import configure, overrides_of, resolve_layer
from bupo.files import read_yaml, to_yaml

SPEC = {
    "cell": "bupo-kauto-s2",
    "model": "m",
    "method": "bupo",
    "layer": "auto",
    "iterative_steps": 2,
    "learning_rate": 3e-5,
    "seed": 7,
    "engine": "cpu",
    "settings": "paper",
    "steps": 5,
    "snapshot_every": 2,
    "overrides": ["actor_rollout_ref.rollout.n=3"],
    "fallback": 3,
    "train_file": "train.parquet",
    "layers": 6,
    "prompt": "plain",
    "max_prompt_tokens": 99,
}


def boundary(folder, status, layer):
    path = folder / "boundary.json"
    path.write_text(json.dumps({"status": status, "boundary_layer": layer, "reason": "why"}))
    return path


def configured(root, folder, **changes):
    spec = {**SPEC, **changes}
    (folder / "spec.yaml").write_text(to_yaml(spec))
    (folder / "model.json").write_text(json.dumps({"path": "models/m", "sha256": {}}))
    file = composed_file(folder / "composed", "m", "bupo")
    file.parent.mkdir(parents=True)
    file.write_text(kept(composed(root / "configs", overrides_of(spec), where="test"), "of these"))
    configure(
        folder / "spec.yaml",
        folder / "model.json",
        boundary(folder, "clear", 4),
        folder / "composed",
        folder / "config.yaml",
    )
    return read_yaml(folder / "config.yaml")


def test_auto_is_the_boundary_where_it_is_clear_and_the_fallback_where_not(tmp_path):
    assert resolve_layer(SPEC, boundary(tmp_path, "clear", 4))[0] == 4
    layer, evidence = resolve_layer(SPEC, boundary(tmp_path, "unclear", None))
    assert layer == 3
    assert evidence["status"] == "unclear" and evidence["reason"] == "why"
    assert resolve_layer({**SPEC, "layer": 5}, None) == (5, None)
    with pytest.raises(UserError, match=r"--boundary should name a boundary\.json"):
        resolve_layer(SPEC, None)


def test_a_configuration_has_what_the_cell_says(root, tmp_path):
    config = configured(root, tmp_path)
    assert config["bupo"]["schedule"] == [{"layer": 4, "steps": 2}, {"layer": "final"}]
    assert config["actor_rollout_ref"]["actor"]["optim"]["lr"] == 3e-5
    assert config["actor_rollout_ref"]["rollout"]["n"] == 3
    assert config["data"]["max_prompt_length"] == 99
    assert config["trainer"]["total_training_steps"] == 5
    assert config["bupo"]["snapshot_every"] == 2
    assert config["data"]["seed"] == 7


@pytest.mark.parametrize("prompt", ["plain", "qwen", "octothinker"])
def test_verl_gets_the_template_of_the_model_family(root, tmp_path, prompt):
    config = configured(root, tmp_path, prompt=prompt)
    assert config["data"]["apply_chat_template_kwargs"] == PROMPTS[prompt].template_options
    assert config["actor_rollout_ref"]["model"]["custom_chat_template"] == PROMPTS[prompt].template
    assert (PROMPTS["qwen"].template_options, PROMPTS["plain"].template) == ({"enable_thinking": False}, None)


@pytest.mark.parametrize(("method", "engine"), [("bupo_progressive", "cpu"), ("ppo", "gpu")])
def test_what_is_kept_of_a_composed_configuration_fills_in_the_same_values(root, method, engine):
    values = {"bupo.model": "qwen3_4b", "bupo.layers": 36, "bupo.snapshot_every": None, "bupo.seed": 1}
    values |= {
        "bupo.cell": "c",
        "data.train_files": ["t"],
        "data.max_prompt_length": 9,
        "trainer.total_training_steps": 3,
    }
    values |= {"bupo.layer": 5, "bupo.iterative_steps": 1} if method != "ppo" else {}
    values |= {"actor_rollout_ref.model.path": "m"}
    overrides = [f"algorithm={method}", "settings=paper", f"engine={engine}"]
    text = kept(composed(root / "configs", overrides, where="test"), "")
    whole = compose_cell(root / "configs", overrides, values, where="test")
    assert filled(of_text(text), values, where="test") == whole
    assert to_yaml(filled(of_text(text), values, where="test")) == to_yaml(whole)


def test_a_configuration_that_was_never_planned_is_told(tmp_path):
    (tmp_path / "spec.yaml").write_text(to_yaml({**SPEC, "layer": 2}))
    (tmp_path / "model.json").write_text(json.dumps({"path": "models/m", "sha256": {}}))
    with pytest.raises(UserError, match=r"bupo\.json: there is no such file"):
        configure(tmp_path / "spec.yaml", tmp_path / "model.json", None, tmp_path, tmp_path / "out.yaml")

import json

import pytest

from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.experiment.configure import configure, resolve_layer
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
    (folder / "spec.yaml").write_text(to_yaml({**SPEC, **changes}))
    (folder / "model.json").write_text(json.dumps({"path": "models/m", "sha256": {}}))
    out = folder / "config.yaml"
    clear = boundary(folder, "clear", 4)
    configure(folder / "spec.yaml", folder / "model.json", clear, root / "configs", out)
    return read_yaml(out)


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

"""What a model's file may say."""

import copy
import subprocess
import sys

import pytest

from bupo.errors import UserError
from bupo.models.config import ModelConfig, ModelSpec
from bupo.validation import load_yaml, validated


def change(spec, path, value):
    """A copy of ``spec`` with one key set, or removed where ``value`` is None."""
    spec = copy.deepcopy(spec)
    *parents, key = path.split(".")
    place = spec
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("model.layer", 3, "model.layer is not a known key"),
        ("model.built.warm_up.step", 3, "model.built.warm_up.step is not a known key"),
        ("model.layers", 0, "model.layers = 0"),
        ("model.prompt", "chat", "model.prompt = 'chat'"),
        ("model.name", "Tiny-Qwen", "model.name = 'Tiny-Qwen'"),
        ("model.built.architecture", "gpt2", "model.built.architecture = 'gpt2'"),
        ("model.built.head_dim", 16, "model.built.head_dim = 16"),
        ("model.built.key_value_heads", 3, "attention_heads (2) should be a multiple of key_value_heads (3)"),
        ("model.built.warm_up.error_rate", 1.5, "model.built.warm_up.error_rate = 1.5"),
        ("model.built.warm_up.difficulty", "simple", "model.built.warm_up.difficulty = 'simple'"),
        ("model.built", None, "exactly one of built, hub, local"),
        ("model.local", {"path": "x"}, "exactly one of built, hub, local"),
        ("model.positions", 0, "model.positions = 0"),
        (
            "model.positions",
            512,
            "positions of a built model are built.tokenizer.model_max_length; leave them out",
        ),
        ("model.hub", {"repo": "a/b"}, "model.hub.revision is missing"),
        ("model.hub", {"repo": "just-a-name", "revision": "main"}, "model.hub.repo = 'just-a-name'"),
    ],
)
def test_a_mistake_is_one_sentence(built_spec, path, value, sentence):
    with pytest.raises(UserError) as error:
        validated(ModelSpec, change(built_spec, path, value), "spec.yaml")
    assert sentence in str(error.value)
    assert str(error.value).startswith("spec.yaml: ")
    assert "\n" not in str(error.value)


def test_the_models_of_the_project_are_valid(root):
    models = {
        path.stem: validated(ModelConfig, load_yaml(path), path)
        for path in sorted((root / "configs" / "model").glob("*.yaml"))
    }
    assert {name: model.name for name, model in models.items()} == {name: name for name in models}
    layers = {"tiny_qwen3": 6, "tiny_llama": 6, "qwen3_4b": 36, "qwen3_8b": 36}
    layers |= {"octothinker_3b": 28, "octothinker_8b": 32}
    assert layers.items() <= {name: model.layers for name, model in models.items()}.items()
    for model in models.values():
        assert ModelSpec.model_validate({"model": model.model_dump(mode="json")}).model == model


def test_what_a_model_holds_is_what_its_file_says(root):
    """Those of 4,096 tokens are shorter than the paper's 1,024 of a prompt and 7,168 of a response."""
    models = [
        validated(ModelConfig, load_yaml(path), path) for path in (root / "configs" / "model").glob("*.yaml")
    ]
    known = {model.name: model.context for model in models if model.context is not None}
    built = {"tiny_qwen3": 4096, "tiny_llama": 4096}
    assert known == built | {"qwen2_5_math_1_5b": 4096, "qwen2_5_math_7b": 4096, "deepseek_math_7b": 4096}


def test_positions_that_are_not_stated_change_no_spec():
    hub = {"repo": "a/b", "revision": "main"}
    model = ModelConfig(name="far", layers=2, prompt="qwen", hub=hub)
    keys = {"name", "description", "layers", "size", "prompt", "built", "hub", "local"}
    assert model.model_dump(mode="json").keys() == keys and model.context is None
    model = ModelConfig(name="far", layers=2, prompt="qwen", hub=hub, positions=64)
    assert model.model_dump(mode="json")["positions"] == 64 == model.context


def test_validation_imports_no_torch():
    code = "import sys, bupo.models.config; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

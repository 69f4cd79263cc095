import pytest
import torch

from bupo.console.sizes import built_parameters, problems_in
from bupo.experiment.resolve import plan_of
from bupo.models.architectures import ARCHITECTURES
from bupo.models.config import ModelConfig
from bupo.validation import load_yaml, validated


@pytest.mark.parametrize("name", ["tiny_qwen3", "tiny_llama"])
def test_parameters_of_a_built_model_are_those_of_the_network(root, name):
    path = root / "configs/model" / f"{name}.yaml"
    model = validated(ModelConfig, load_yaml(path), path)
    built = model.built
    make_config, make_model = ARCHITECTURES[built.architecture]
    config = make_config(
        vocab_size=built.tokenizer.vocab_size,
        hidden_size=built.hidden_size,
        intermediate_size=built.intermediate_size,
        num_hidden_layers=model.layers,
        num_attention_heads=built.attention_heads,
        num_key_value_heads=built.key_value_heads,
        head_dim=built.head_dim,
        tie_word_embeddings=built.tie_word_embeddings,
    )
    with torch.device("meta"):
        network = make_model(config)
    assert built_parameters(model, built) == network.num_parameters()


def test_problems_are_those_that_are_used(root):
    limited = ["data.limits.math500=20", "data.train=[math12k]", "grid=[{method: grpo}]"]
    plan = plan_of("math_smoke", limited, root / "configs")
    assert problems_in(plan, "math500") == 20
    assert problems_in(plan, "amc23") == 6  # the experiment's own limit
    assert problems_in(plan, "math12k") == 12000
    demo = plan_of("demo", [], root / "configs")
    assert problems_in(demo, "arithmetic") == 2000

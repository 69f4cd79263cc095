import pytest

from bupo.errors import UserError
from bupo.experiment.climb import climb
from bupo.experiment.methods import load_methods
from bupo.experiment.resolve import plan_of

BUPO = {"layer", "iterative_steps"}


@pytest.fixture(scope="module")
def methods(root):
    return load_methods(root / "configs")


def test_what_each_method_leaves_open(methods):
    assert {name: method.needs for name, method in methods.items()} == {
        "bupo": BUPO,
        "bupo_final_norm": BUPO,
        "bupo_progressive": BUPO,
        "grpo": set(),
        "grpo_frozen": {"layer"},
        "grpo_layer_lr": {"layer"},
        "intergrpo": {"layer"},
        "ppo": set(),
        "reinforce_plus_plus": set(),
        "rloo": set(),
    }


def test_climbing_goes_by_the_layer_and_ends_with_the_full_policy():
    layers = [phase["layer"] for phase in climb(6, 20, 36)]
    assert layers == [6, 12, 18, 24, 30, "final"]
    assert climb(5, 2, 6) == [{"layer": 5, "steps": 2}, {"layer": "final"}]
    with pytest.raises(ValueError, match="not below the last layer, 6"):
        climb(6, 2, 6)


def test_phases_of_the_methods(methods):
    final = {"layer": "final"}
    assert methods["bupo_final_norm"].schedule(3, 4, 6) == [{"layer": 3, "steps": 4}, final]
    assert methods["bupo_progressive"].schedule(2, 4, 6) == [
        {"layer": 2, "steps": 4},
        {"layer": 4, "steps": 4},
        final,
    ]
    assert methods["grpo_frozen"].schedule(3, None, 6) == [final]
    with pytest.raises(UserError, match="bupo_progressive with layer = 6: layer 6 is not below"):
        methods["bupo_progressive"].schedule(6, 1, 6)


def test_steps_of_phase_one_are_those_of_paper_or_scripts_where_the_grid_leaves_them_out(root):
    def names(*overrides):
        grid = "grid=[{method: [bupo, bupo_final_norm], layer: 6}, {method: intergrpo, layer: 6}]"
        given = ["models.train=[qwen3_8b]", "models.analyse=[]", "training.steps=300", grid, *overrides]
        return [cell.name for cell in plan_of("demo", given, root / "configs").cells]

    assert names() == ["bupo-k6-s20", "bupo_final_norm-k6-s20", "intergrpo-k6"]
    assert names("training.settings=scripts")[0] == "bupo-k6-s30"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["grid=[{method: bupo, layer: 3}]"], "grid.0.iterative_steps is missing; the method bupo needs it"),
        (["training.settings=mine"], "training.settings = 'mine' is not known; configs/settings/ has: paper"),
        (["grid=[{method: grpo_frozen}]"], "grid.0.layer is missing; the method grpo_frozen needs it"),
        (
            ["grid=[{method: bupo_progressive, layer: 1, iterative_steps: 3}]"],
            "makes 15 steps before the last",
        ),
    ],
)
def test_mistakes_are_one_sentence(root, overrides, sentence):
    with pytest.raises(UserError) as error:
        plan_of("demo", overrides, root / "configs")
    assert sentence in str(error.value) and "\n" not in str(error.value)

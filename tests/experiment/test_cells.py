import pytest

from bupo.errors import UserError
from bupo.experiment.cells import cells_of
from bupo.experiment.checks import check_parts
from bupo.experiment.methods import Method
from bupo.experiment.schema import Experiment
from bupo.validation import validated

FINAL = {"layer": "final"}
FIRST = {"layer": "${bupo.layer}", "steps": "${bupo.iterative_steps}"}
CLIMB = "${climb:${bupo.layer},${bupo.iterative_steps},${bupo.layers}}"
METHODS = {
    "grpo": Method("grpo", {"schedule": [FINAL]}),
    "bupo": Method("bupo", {"layer": "???", "iterative_steps": "???", "schedule": [FIRST, FINAL]}),
    "intergrpo": Method("intergrpo", {"layer": "???", "schedule": [{"layer": "${bupo.layer}"}]}),
    "climbing": Method("climbing", {"layer": "???", "iterative_steps": "???", "schedule": CLIMB}),
}
OF_MODEL = {"b": {"iterative_steps": 3}}


def experiment(grid, **changes):
    values = {
        "description": "a test",
        "models": {"train": ["a", "b"], "analyse": ["a"]},
        "data": {"train": ["math"], "benchmarks": ["aime24"]},
        "analysis": {"settings": "demo", "problems": "aime24"},
        "training": {"engine": "cpu", "steps": 10},
        "evaluation": {"settings": "demo"},
        "auto_layer": {"fallback": 3},
        "grid": grid,
        **changes,
    }
    return validated(Experiment, values, "e.yaml")


def cells(grid, **changes):
    return cells_of(experiment(grid, **changes), {"a": 6, "b": 12}, METHODS, "e.yaml", OF_MODEL)


def test_a_block_is_the_product_of_its_axes():
    grid = [
        {"method": "grpo", "model": "a", "seed": [1, 2]},
        {"method": "bupo", "model": "a", "layer": ["auto", 5], "iterative_steps": [2, 4]},
    ]
    assert [cell.run for cell in cells(grid)] == [
        "a/grpo/seed1",
        "a/grpo/seed2",
        "a/bupo-kauto-s2/seed1",
        "a/bupo-kauto-s4/seed1",
        "a/bupo-k5-s2/seed1",
        "a/bupo-k5-s4/seed1",
    ]


def test_without_a_model_axis_every_trained_model_is_meant():
    assert [cell.model for cell in cells([{"method": "grpo"}])] == ["a", "b"]


def test_a_learning_rate_and_a_named_set_are_in_the_name():
    grid = [{"method": "grpo", "model": "a", "learning_rate": 1e-6, "train_set": "math"}]
    assert [cell.name for cell in cells(grid)] == ["grpo-lr1e-06-math"]


def test_steps_that_the_grid_leaves_out_are_those_of_the_settings_for_the_model():
    grid = [{"method": "bupo", "model": "b", "layer": 2}, {"method": "intergrpo", "model": "b", "layer": 2}]
    assert [cell.name for cell in cells(grid)] == ["bupo-k2-s3", "intergrpo-k2"]


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        ([{"method": "bupo", "model": "a", "layer": 7, "iterative_steps": 1}], "layer = 7 is out of range; a has layers 1 to 6"),
        ([{"method": "bupo", "model": "a", "layer": 2}], "grid.0.iterative_steps is missing"),
        ([{"method": "grpo", "model": "a", "layer": 2}], "grid.0.layer = 2 has no meaning for the method grpo"),
        ([{"method": "bupo", "model": "a", "layer": 2, "iterative_steps": 11}], "iterative_steps = 11 makes 11 steps before the last phase, more than training.steps = 10"),
        ([{"method": "climbing", "model": "a", "layer": 1, "iterative_steps": 3}], "makes 15 steps before the last phase"),
        ([{"method": "climbing", "model": "a", "layer": "auto", "iterative_steps": 11}], "makes 11 steps"),
        ([{"method": "climbing", "model": "a", "layer": 6, "iterative_steps": 1}], "the method climbing with layer = 6: layer 6 is not below the last layer, 6, so that nothing climbs."),
        ([{"method": "bupo", "model": "b", "layer": "auto", "iterative_steps": 1}], "add it to models.analyse"),
        ([{"method": "dpo"}], "grid.0.method = 'dpo' is not known; it should be one of grpo, bupo, intergrpo, climbing"),
        ([{"method": "grpo", "model": "c"}], "grid.0.model = 'c' is not known; it should be one of a, b"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_grid_is_one_sentence(grid, sentence):
    with pytest.raises(UserError) as error:
        cells(grid)
    assert str(error.value).startswith("e.yaml: ") and sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stepz": 3}, "stepz is not a known key; known here are: description, seed, models"),
        ({"training": {"engine": "cpu", "steps": 0}}, "training.steps = 0: input should be greater than 0"),
        ({"training": {"engine": "cpu", "step": 1}}, "is not a known key; known here are: engine, steps, overrides"),
        ({"grid": [{"method": "bupo", "layer": 0, "iterative_steps": 1}]}, "grid.0.layer"),
        ({"grid": []}, "grid = []"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_sentence(changes, sentence):
    with pytest.raises(UserError) as error:
        experiment([{"method": "grpo"}], **changes) if "grid" not in changes else experiment(**changes)
    assert sentence in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": {"train": ["math"]}}, "data.benchmarks is missing; an experiment with a grid needs it."),
        ({"training": {"engine": "cpu"}}, "training.steps is missing"),
        ({"evaluation": {}}, "evaluation.settings is missing"),
        ({"grid": None}, "models.train has no meaning without a grid"),
        ({"grid": None, "models": {"analyse": ["a"]}}, "data.train has no meaning without a grid"),
        ({"grid": None, "models": {}, "data": {}, "training": {}, "evaluation": {}}, "neither a grid nor models.analyse"),
    ],
)  # fmt: skip
def test_a_part_that_is_missing_or_has_no_meaning_is_one_sentence(changes, sentence):
    with pytest.raises(UserError) as error:
        check_parts(experiment(**{"grid": [{"method": "grpo"}], **changes}), "e.yaml")
    assert str(error.value).startswith("e.yaml: ") and sentence in str(error.value)


def test_an_experiment_of_the_entropy_analysis_alone_has_no_cells():
    alone = {"models": {"analyse": ["a"]}, "data": {}, "training": {}, "evaluation": {}, "auto_layer": None}
    check_parts(experiment(None, **alone), "e.yaml")
    assert cells(None, **alone) == []


def test_several_training_sets_must_be_named_in_the_grid():
    data = {"train": ["math", "deepscaler"], "benchmarks": ["aime24"]}
    with pytest.raises(UserError, match=r"grid.0.train_set is missing.*math, deepscaler"):
        cells([{"method": "grpo"}], data=data)


BUPO = {"method": "bupo", "model": "a", "iterative_steps": 1}


def test_equal_cells_are_one():
    grid = [
        {"method": "grpo", "model": "a"},
        {**BUPO, "layer": [3, 3, 0.5]},
        {"method": "grpo", "model": "a"},
    ]
    assert [cell.name for cell in cells(grid)] == ["grpo", "bupo-k3-s1"]


@pytest.mark.parametrize(
    ("fraction", "layer"), [(0.01, 1), (0.25, 2), (1 / 3, 2), (0.5, 3), (0.58, 3), (0.59, 4), (0.99, 6)]
)
def test_a_fraction_of_the_depth_is_the_nearest_layer(fraction, layer):
    assert [cell.layer for cell in cells([{**BUPO, "layer": fraction}])] == [layer]


def test_a_fraction_is_of_each_models_own_depth():
    grid = [{"method": "intergrpo", "layer": 0.25}]
    assert [(cell.model, cell.layer) for cell in cells(grid)] == [("a", 2), ("b", 3)]


def test_exclusions_leave_out_what_they_name():
    grid = [{**BUPO, "layer": [1, 2, 3], "iterative_steps": [1, 2]}]
    kept = cells(grid, exclude=[{"layer": 2}, {"layer": [0.5], "iterative_steps": 2}])
    assert [cell.name for cell in kept] == ["bupo-k1-s1", "bupo-k1-s2", "bupo-k3-s1"]


def test_baselines_are_trained_once_for_all_that_is_compared_with_them():
    grid = [
        {**BUPO, "layer": [1, 2], "learning_rate": [1e-6, 1e-5], "seed": [1, 2]},
        {"method": "grpo", "model": "a", "learning_rate": 1e-6},
    ]
    names = [cell.run for cell in cells(grid, baselines=["grpo"])]
    assert names[:4] == [
        "a/grpo-lr1e-06/seed1",
        "a/grpo-lr1e-06/seed2",
        "a/grpo-lr1e-05/seed1",
        "a/grpo-lr1e-05/seed2",
    ]
    assert len(names) == len(set(names)) == 4 + 8


def test_what_is_excluded_needs_no_baseline():
    grid = [{**BUPO, "layer": 1, "seed": [1, 2]}]
    assert [cell.run for cell in cells(grid, baselines=["grpo"], exclude=[{"seed": 2}])] == [
        "a/grpo/seed1",
        "a/bupo-k1-s1/seed1",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exclude": [{"layer": 5}]}, "exclude.0 matches no cell of the grid"),
        ({"exclude": [{"method": "bupo"}]}, "exclude leaves no cell of the grid"),
        ({"exclude": [{}]}, "an exclusion should name an axis"),
        ({"exclude": [{"leyer": 1}]}, "leyer is not a known key"),
        ({"baselines": ["bupo"]}, "baselines.0.layer is missing; the method bupo needs it"),
        ({"baselines": ["dpo"]}, "baselines.0.method = 'dpo' is not known"),
    ],
)
def test_a_mistake_beside_the_grid_is_one_sentence(changes, sentence):
    with pytest.raises(UserError) as error:
        cells([{**BUPO, "layer": 1}], **changes)
    assert sentence in str(error.value) and "\n" not in str(error.value)

from decimal import Decimal
from itertools import chain

import pytest

from bupo.experiment.groups import names_in
from bupo.published.match import published_for
from bupo.published.tables import MEAN, published_pattern, published_tables, reference

PAPER = {
    "data": {"benchmarks": ["amc23", "math500", "aime24", "aime25"], "limits": {}},
    "training": {"steps": 300, "settings": "paper", "overrides": []},
    "evaluation": {"temperature": 1.0, "top_p": 1.0},
}
BUPO = {
    "model": "qwen3_4b",
    "method": "bupo",
    "layer": 6,
    "iterative_steps": 30,
    "learning_rate": None,
    "train_set": "deepmath5k",
}
GRPO = {**BUPO, "method": "grpo", "layer": None, "iterative_steps": None}
ROWS = [(name, table, row) for name, table in published_tables().items() for row in table.rows]


def decimal(percent):
    return Decimal(f"{percent:.2f}")


def test_every_table_holds_the_runs_that_the_paper_has():
    rows = {name: len(table.rows) for name, table in published_tables().items()}
    assert rows == {
        "main": 24,
        "s_inter": 3,
        "layer": 12,
        "final_norm": 2,
        "layer_aware": 4,
        "seeds": 8,
        "out_of_domain": 6,
    }


def test_every_row_is_of_a_model_and_a_method_that_there_is(root):
    configs = root / "configs"
    assert {row.model for *_, row in ROWS} <= set(names_in(configs, "model"))
    assert {row.method for *_, row in ROWS} <= {*names_in(configs, "algorithm"), "base"}


def test_a_mean_that_is_not_that_of_its_parts_has_a_footnote():
    for _, table, row in ROWS:
        parts = [decimal(row.scores[name]) for name in reference().evaluation.samples if name in row.scores]
        if len(parts) < 4 or MEAN not in row.scores:
            continue
        wrong = abs(sum(parts) / 4 - decimal(row.scores[MEAN])) > Decimal("0.005")
        assert wrong == any("printed mean" in note for note in chain(row.notes, table.notes)), row


def test_a_score_that_no_number_of_right_answers_gives_has_a_footnote():
    of = reference().evaluation
    impossible = []
    for _, table, row in ROWS:
        if table.seeds > 1:
            continue
        for name, percent in row.scores.items():
            if name not in of.samples:
                continue
            answers = of.samples[name] * of.problems[name]
            nearest, of_three = (
                Decimal(round(percent * count / 100) * 100) / count for count in (answers, 3 * answers)
            )
            told = any(
                f"{percent:.2f}" in note and " share of" in note for note in chain(row.notes, table.notes)
            )
            if abs(nearest - decimal(percent)) > Decimal("0.005"):
                assert abs(of_three - decimal(percent)) > Decimal("0.005")
                impossible.append(percent)
                assert told, (row, name, nearest)
            else:
                assert not told, (row, name)
    assert sorted(impossible) == [
        *(1.24, 7.58, 7.72, 7.8, 14.14, 16.17, 18.6, 23.2, 23.67, 26.17, 30.12, 34.21, 75.55, 80.08, 80.86),
    ]


@pytest.mark.parametrize("percent", [14.14, 80.08])
def test_two_of_these_are_shares_of_twice_as_many_answers(percent):
    (row,) = [row for *_, row in ROWS if row.scores.get("amc23") == percent]
    assert any("share of 40 x 32" in note for note in row.notes)
    assert f"{round(percent * 12.8) / 12.8:.2f}" == f"{percent:.2f}"


def test_a_row_that_two_tables_have_is_the_same_in_both():
    scores = {}
    for _, table, row in ROWS:
        key = (row.model, row.method, row.layer, row.iterative_steps, table.seeds)
        for name, percent in row.scores.items():
            assert scores.setdefault((*key, name), percent) == percent


def test_a_cell_of_the_papers_settings_is_set_beside_its_row():
    single, seeds = published_for(PAPER, BUPO)
    assert single.comparable and single.table == "main" and single.seeds == 1
    assert single.scores["aime24"].percent == "36.88" and single.scores["aime24"].samples == 32
    assert single.scores["aime24"].share == pytest.approx(0.3688) and single.scores["mean"].samples is None
    assert seeds.seeds == 3 and seeds.scores["aime24"].spread == pytest.approx(0.0011)
    assert "Table 10" in seeds.source


def test_the_base_model_asks_for_nothing_of_the_training():
    base = {"model": "qwen3_8b", "method": "base"}
    (row,) = published_for({**PAPER, "training": {"steps": 7, "overrides": ["a=1"]}}, base)
    assert row.comparable and row.scores["math500"].percent == "80.46"


@pytest.mark.parametrize(
    "change",
    [{"layer": 7}, {"iterative_steps": 20}, {"model": "qwen3_8b"}, {"method": "intergrpo"}],
)
def test_another_cell_is_set_beside_nothing(change):
    assert published_for(PAPER, {**BUPO, **change}) == []


@pytest.mark.parametrize(
    ("experiment", "cell", "sentence"),
    [
        ({}, {"train_set": "math"}, "trained on math, the paper's on deepmath5k"),
        ({}, {"learning_rate": 1e-5}, "trained with learning rate 1e-05, the paper's 1e-06"),
        ({"training": {"steps": 20, "settings": "paper"}}, {}, "trained for 20 steps, the paper's for 300"),
        ({"training": {"steps": 300, "settings": "scripts"}}, {}, "settings/scripts.yaml"),
        ({"training": {"steps": 300, "overrides": ["data.shuffle=false"]}}, {}, "trained with data.shuffle=false"),
        ({"evaluation": {"temperature": 0.6, "top_p": 1.0}}, {}, "evaluated with temperature 0.6"),
        ({"data": {"benchmarks": ["aime24"], "limits": {"aime24": 6}}}, {}, "the first 6 problems of aime24"),
        ({"data": {"benchmarks": ["aime24"], "limits": {"deepmath5k": 9}}}, {}, "trained on the first 9 problems"),
    ],
)  # fmt: skip
def test_what_differs_is_named(experiment, cell, sentence):
    for row in published_for({**PAPER, **experiment}, {**GRPO, **cell}):
        assert not row.comparable and len(row.differences) == 1 and sentence in row.differences[0]


def test_the_learning_rate_that_is_the_methods_own_is_the_papers():
    assert all(row.comparable for row in published_for(PAPER, {**GRPO, "learning_rate": 1e-6}))


def test_only_named_layers_are_a_boundary():
    assert published_pattern("qwen3_4b").boundary_layer == 6
    assert published_pattern("deepseek_math_7b").ffn == "below 0 throughout"
    assert published_pattern("tiny_qwen3") is None

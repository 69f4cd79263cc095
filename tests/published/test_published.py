from collections import Counter
from decimal import Decimal
from itertools import chain
from math import sqrt

import pytest

from bupo.experiment.groups import names_in
from bupo.published.match import published_for
from bupo.published.tables import MEAN, published_pattern, published_tables, reference

PAPER = {
    "data": {"benchmarks": ["amc23", "math500", "aime24", "aime25"], "limits": {}},
    "training": {"engine": "gpu", "steps": 300, "settings": "paper", "overrides": []},
    "evaluation": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 7168, "samples": 32},
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


def shares(percent, *counts):
    """Whether so many right answers of the count print as the percentage, for each count."""
    nearest = [Decimal(round(percent * count / 100) * 100) / count for count in counts]
    return [abs(share - decimal(percent)) <= Decimal("0.005") for share in nearest]


def impossible():
    """The scores that no number of right answers gives, with their tables and benchmarks."""
    of, found = reference().evaluation, []
    for _, table, row in ROWS:
        for name in row.scores.keys() & of.samples.keys():
            answers = of.samples[name] * of.problems[name]
            if table.seeds == 1 and not any(shares(row.scores[name], answers, 3 * answers)):
                found.append((table, row, name))
    return found


def notes_of(table, row, name):
    """The footnotes that tell a score's digits."""
    return [note for note in chain(row.notes, table.notes) if f"{row.scores[name]:.2f}" in note]


def test_a_score_that_no_number_of_right_answers_gives_has_a_footnote():
    of, wrong = reference().evaluation, impossible()
    for _, table, row in ROWS:
        for name in row.scores.keys() & of.samples.keys() if table.seeds == 1 else ():
            told = name != "math500" and any(" share of" in note for note in notes_of(table, row, name))
            assert told == ((table, row, name) in wrong), (row, name)
            # what is a share of three runs' answers is one of a single run's too
            assert told or all(shares(row.scores[name], of.samples[name] * of.problems[name])), (row, name)
    assert sorted(row.scores[name] for _, row, name in wrong) == [
        *(1.24, 7.58, 7.72, 7.8, 14.14, 16.17, 18.6, 23.2, 23.67, 26.17, 30.12, 34.21, 75.55, 80.08, 80.86),
    ]


def test_scores_that_are_shares_of_twice_as_many_answers_are_told():
    twice = [
        found for found in impossible() if found[2] == "amc23" and all(shares(found[1].scores["amc23"], 1280))
    ]
    assert len(twice) == 8
    assert all(any("of 40 x 32" in note for note in notes_of(*found)) for found in twice)


def test_table_1_is_one_of_the_three_runs_of_table_10_but_for_one_score():
    """None of three values is farther from their mean than 2/sqrt(3) of their standard deviations."""
    outside = []
    for row in published_tables()["seeds"].rows:
        main = next(
            r for r in published_tables()["main"].rows if (r.model, r.method) == (row.model, row.method)
        )
        for name, mean in row.scores.items():
            apart, rounding = abs(main.scores[name] - mean), 0.005
            if apart - 2 * rounding > 2 / sqrt(3) * (row.deviations[name] + rounding):
                outside.append((row, main, name))
    ((row, main, name),) = outside
    assert (row.model, row.method, name) == ("octothinker_3b", "bupo", "aime25")
    assert any("0.42" in note and "3.86" in note for note in row.notes)
    assert any("3.86" in note for note in main.notes)


def test_the_page_counts_as_the_tables_do(root):
    wrong = impossible()
    places = Counter(table.place for table, *_ in wrong)
    twice = sum(name == "amc23" and all(shares(row.scores[name], 40 * 32)) for _, row, name in wrong)
    main = [row.scores for row in published_tables()["main"].rows]
    ablations = [
        row.scores["math500"]
        for name in ("s_inter", "layer", "final_norm", "layer_aware")
        for row in published_tables()[name].rows
        if "math500" in row.scores and row.scores not in main
    ]
    page = " ".join((root / "docs/paper.md").read_text(encoding="utf-8").split())
    for sentence in (
        f"{len(wrong)} scores cannot be what they are said to be",
        ", ".join(f"{places[p]} in {p}" for p in sorted(places, key=lambda p: int(p.split()[1]))),
        f"{twice} of them",
        f"{sum(all(shares(p, 500)) for p in ablations)} of the {len(ablations)} scores on MATH500",
    ):
        assert sentence in page, sentence


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
    ("part", "change", "sentence"),
    [
        ("cell", {"train_set": "math"}, "trained on math, the paper's on deepmath5k"),
        ("cell", {"learning_rate": 1e-5}, "trained with learning rate 1e-05, the paper's 1e-06"),
        ("training", {"steps": 20}, "trained for 20 steps, the paper's for 300"),
        ("training", {"settings": "scripts"}, "settings/scripts.yaml"),
        ("training", {"engine": "cpu"}, "engine/cpu.yaml"),
        ("training", {"overrides": ["data.shuffle=false"]}, "trained with data.shuffle=false"),
        ("evaluation", {"temperature": 0.6}, "evaluated with temperature 0.6"),
        ("evaluation", {"max_new_tokens": 1024}, "evaluated with responses of at most 1024 tokens"),
        ("evaluation", {"samples": 16}, "evaluated with samples 16, the paper's 32 (aime24, aime25)"),
        ("data", {"benchmarks": ["aime24"], "limits": {"aime24": 6}}, "the first 6 problems of aime24"),
        ("data", {"limits": {"deepmath5k": 9}}, "trained on the first 9 problems"),
        ("data", {"max_prompt_tokens": 512}, "problems of at most 512 tokens, the authors' scripts on those of 1024"),
        ("data", {"keep_unreadable": True}, "whose answer our grader cannot read"),
    ],
)  # fmt: skip
def test_what_differs_is_named(part, change, sentence):
    cell = {**GRPO, **change} if part == "cell" else GRPO
    experiment = PAPER if part == "cell" else {**PAPER, part: {**PAPER[part], **change}}
    rows = published_for(experiment, cell)
    assert [row.table for row in rows] == ["main", "seeds"]
    for row in rows:
        assert not row.comparable and len(row.differences) == 1 and sentence in row.differences[0]


def test_fewer_samples_are_told_by_the_papers_number_of_them():
    few = {**PAPER, "evaluation": {**PAPER["evaluation"], "samples": 4}}
    (row, _) = published_for(few, GRPO)
    assert row.differences == (
        "evaluated with samples 4, the paper's 16 (amc23, math500)",
        "evaluated with samples 4, the paper's 32 (aime24, aime25)",
    )


def test_only_the_benchmarks_of_a_row_count_for_it():
    mixed = {
        **PAPER,
        "data": {"benchmarks": ["aime24", "minerva"], "limits": {"aime24": 6}},
        "evaluation": {**PAPER["evaluation"], "samples": 16},
    }
    rows = {row.table: row for row in published_for(mixed, GRPO)}
    assert len(rows["main"].differences) == 2 and rows["out_of_domain"].comparable


def test_the_learning_rate_that_is_the_methods_own_is_the_papers():
    assert all(row.comparable for row in published_for(PAPER, {**GRPO, "learning_rate": 1e-6}))


def test_only_named_layers_are_a_boundary():
    assert published_pattern("qwen3_4b").boundary_layer == 6
    assert published_pattern("deepseek_math_7b").ffn == "below 0 throughout"
    assert published_pattern("tiny_qwen3") is None

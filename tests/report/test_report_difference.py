"""The page of two experiments: what it shows beside the scores."""

import csv
import dataclasses
import shutil

import pandas as pd
import pytest
import yaml
from html_page import Page
from results_tree import Scenario, make_tree

from bupo.report.collect import collect
from bupo.report.difference import difference
from bupo.report.difference_entropy import (
    analysed_twice,
    boundaries_table,
    change_of_both,
    last_snapshots,
)
from bupo.report.difference_page import write_difference

SKILL = {"base": 0.0, "grpo": 0.4, "bupo-k2-s4": 0.5, "bupo-k2-s8": 0.5, "bupo-k3-s4": 0.5, "bupo-k3-s8": 0.2}
SMALL = Scenario(skill=SKILL, problems=40, samples=4, models=("tiny_qwen3",))


def experiment(root, name, scenario):
    folder = root / name
    shutil.move(make_tree(root / "new", scenario).parent, folder)
    values = yaml.safe_load((folder / "experiment.yaml").read_text())
    (folder / "experiment.yaml").write_text(yaml.safe_dump({**values, "name": name}, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    experiment(root, "one", SMALL)
    better = {**SKILL, "bupo-k3-s8": 3.0}
    experiment(root, "other", dataclasses.replace(SMALL, skill=better, boundary="unclear"))
    return root


@pytest.fixture(scope="module")
def found(root):
    return difference(*(collect(root / name / "experiment.yaml") for name in ("one", "other")))


@pytest.fixture(scope="module")
def page(root, found):
    write_difference(found, root / "out")
    return Page((root / "out/index.html").read_text())


def table(root, name):
    return list(csv.DictReader((root / f"out/tables/{name}.csv").open()))


def test_the_page_needs_nothing_else_and_leads_to_each_of_its_sections(page):
    outside = [r for r in page.references if not r.startswith(("#", "data:"))]
    assert outside == []
    assert len(page.ids) == len(set(page.ids))
    inside = {r[1:] for r in page.references if r.startswith("#")}
    assert {"grid", "scores", "entropy", "cost"} <= inside <= set(page.ids)


def test_how_the_responses_ended_is_of_the_shared_problems_alone(root, tmp_path):
    shutil.copytree(root / "one", tmp_path / "one")
    shutil.copytree(root / "other", tmp_path / "other")
    gone = tmp_path / "other/data/normal/arithmetic_easy.parquet"
    problems = pd.read_parquet(gone)
    problems.loc[problems.index[:10], "problem"] += " (another)"
    problems.to_parquet(gone)
    found = difference(*(collect(tmp_path / name / "experiment.yaml") for name in ("one", "other")))
    by_name = {(s.pair.b.name, s.comparison.benchmark): s for s in found.scores}
    folder = tmp_path / "one/evaluation/tiny_qwen3/grpo/seed1"
    easy, hard = (pd.read_parquet(folder / f"arithmetic_{ease}/scores.parquet") for ease in ("easy", "hard"))
    easy = easy[~easy["problem_id"].isin(problems["id"][:10])]
    told = by_name["grpo", "arithmetic_easy"].a_ends
    assert told.n_responses == len(easy) == 30 * 4
    assert told.truncated == (easy["finish_reason"] == "length").mean()
    assert told.no_box == easy["answer"].isna().mean()
    assert told.mean_tokens == pytest.approx(easy["n_tokens"].mean())
    # the graders of the made-up tree differ on right answers among the first three samples
    assert (
        told.at_odds == 0 and by_name["grpo", "arithmetic_hard"].a_ends.at_odds == hard["correct"][:3].sum()
    )
    mean = by_name["grpo", "mean"].a_ends
    both = [table["n_tokens"].mean() for table in (easy, hard)]
    assert mean.mean_tokens == pytest.approx(sum(both) / 2) and mean.n_responses == 70 * 4


def test_the_endings_are_on_the_page_and_in_the_table(root, found, page):
    score = next(s for s in found.scores if s.pair.b.name == "grpo" and s.comparison.benchmark == "mean")
    told = f"cut off {100 * score.a_ends.truncated:.1f}, no box {100 * score.a_ends.no_box:.1f}"
    assert told in page.text
    row = next(r for r in table(root, "differences") if (r["cell_b"], r["benchmark"]) == ("grpo", "mean"))
    assert float(row["a_truncated"]) == score.a_ends.truncated
    assert float(row["b_mean_tokens"]) == score.b_ends.mean_tokens


def test_the_map_shows_the_cells_that_both_have_against_the_other_experiment(root, page):
    assert "bupo against one: tiny_qwen3, mean of benchmarks" in page.text
    rows = table(root, "grid")
    assert {(r["layer"], r["iterative_steps"]) for r in rows} == {
        ("2", "4"),
        ("2", "8"),
        ("3", "4"),
        ("3", "8"),
    }
    better = next(r for r in rows if (r["layer"], r["iterative_steps"]) == ("3", "8"))
    pair = next(
        r for r in table(root, "differences") if (r["cell_b"], r["benchmark"]) == ("bupo-k3-s8", "mean")
    )
    assert (better["difference"], better["against"]) == (pair["difference"], "one")
    assert better["verdict"] == pair["verdict"] == "above"


def test_cells_of_two_names_have_no_place_on_a_map(root):
    results = [collect(root / name / "experiment.yaml") for name in ("one", "other")]
    turned = {"s4": "s8", "s8": "s4"}
    named = {name: name[:-2] + turned[name[-2:]] for name in SKILL if name.startswith("bupo")}
    found = difference(*results, named)
    assert {(s.pair.b.first.layer, s.pair.b.first.iterative_steps) for s in found.headline} == {
        *((2, 4), (2, 8), (3, 4), (3, 8))
    }
    write_difference(found, root / "named")
    assert not (root / "named/tables/grid.csv").exists()


def test_boundaries_of_both_stand_beside_each_other(root, found, page):
    (twice,) = analysed_twice(found.a, found.b)
    assert (twice.a.boundary_layer, twice.b.boundary_layer, twice.same) == (3, None, False)
    assert "not the same" in page.text and "boundary layer: one" in page.text
    rows = table(root, "boundaries")
    assert [int(r["layer"]) for r in rows] == [1, 2, 3, 4, 5, 6]
    assert [r["a_boundary"] for r in rows] == [str(layer == 3) for layer in range(1, 7)]
    assert {r["b_boundary"] for r in rows} == {"False"}
    change = change_of_both(twice, ("one", "other"))
    assert "one: boundary layer 3" in change.caption and "other: boundary unclear" in change.caption
    assert "raw lens" in change.caption and "counted from 1" in change.caption


def test_a_layer_that_only_one_has_is_in_the_table_too(found):
    (twice,) = analysed_twice(found.a, found.b)
    fewer = dataclasses.replace(twice, a=dataclasses.replace(twice.a, evidence=twice.a.evidence[:4]))
    table = boundaries_table([fewer])
    assert [row[1] for row in table.rows] == [1, 2, 3, 4, 5, 6]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.rows[4][2:9] == (None,) * 7 and table.rows[4][9:] == _of(twice.b, 5)


def _of(entropy, layer):
    row = entropy.evidence[layer - 1]
    change = row.change.value, row.change.low, row.change.high, row.stage
    return (*change, False, entropy.lens, entropy.n_problems)


def test_the_same_analysis_is_said_to_be_the_same_and_not_drawn(found):
    (twice,) = analysed_twice(found.a, found.a)
    assert twice.same and change_of_both(twice, ("one", "one")) is None


def test_the_last_snapshots_of_both_are_in_one_field_for_each_pair(found, page):
    pairs = [(s.pair.a, s.pair.b) for s in found.headline_by_size]
    assert pairs[0][1].name == "bupo-k3-s8", "what differs the most comes first"
    panel = last_snapshots(found.a, found.b, pairs, "tiny_qwen3")
    assert "bupo-k3-s8, step 15" in panel.svg and "before training" in panel.svg
    assert "raw lens" in panel.caption and "Layer entropy after training" in page.text
    less = dataclasses.replace(found.b, flow=None)
    assert last_snapshots(found.a, less, pairs, "tiny_qwen3") is None


def test_leaks_that_differ_are_among_the_settings(root, tmp_path):
    shutil.copytree(root / "one", tmp_path / "one")
    shutil.copytree(root / "other", tmp_path / "other")
    file = tmp_path / "other/data/contamination.json"
    file.write_text(file.read_text().replace('"inside": 0', '"inside": 7'))
    found = difference(*(collect(tmp_path / name / "experiment.yaml") for name in ("one", "other")))
    keys = {key: (a, b) for key, a, b in found.settings}
    assert keys["problems of arithmetic_easy in arithmetic"] == (
        "0, 0 rows removed for it",
        "7, 0 rows removed for it",
    )


def test_pass_at_k_and_costs_are_tables_too(root, page):
    rows = table(root, "pass_at_k")
    assert {r["cell"] for r in rows} >= {"one: grpo", "other: grpo"} and {r["k"] for r in rows} == {
        "1",
        "2",
        "4",
    }
    stages = {r["stage"]: r for r in table(root, "cost_by_stage")}
    assert float(stages["training"]["a_gpu_hours"]) == float(stages["training"]["b_gpu_hours"]) > 0

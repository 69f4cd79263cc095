"""bupo compare: two experiments on what they share."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bupo.errors import UserError

sys.path.append(str(Path(__file__).parents[1] / "report"))
from results_tree import Scenario, make_tree

SKILL = {"base": 0.0, "grpo": 0.4, "bupo-k2-s4": 0.5}
SIZE = {"problems": 40, "samples": 4, "snapshots": None}


def named(tree, results, name, **changes):
    folder = results / name
    shutil.move(tree.parent, folder)
    experiment = yaml.safe_load((folder / "experiment.yaml").read_text())
    experiment["name"] = name
    experiment["evaluation"] |= changes
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    named(make_tree(root / "a", Scenario(skill=SKILL, **SIZE)), root, "short")
    better = {"base": 0.0, "grpo": 2.5, "bupo-k2-s4": 0.5, "bupo-k3-s8": 0.5}
    named(make_tree(root / "b", Scenario(skill=better, **SIZE)), root, "long", max_new_tokens=96)
    return root


def test_cells_of_one_name_are_compared_problem_by_problem(results, bupo):
    status, printed = bupo("compare", "short", "long", "--results", results)
    assert status == 0
    assert printed.startswith("long is above short in 1 of 2 cells; the rest is not resolved.")
    assert printed.rstrip().endswith("compare/short-long/index.html")
    out = results / "compare/short-long"
    rows = list(csv.DictReader((out / "tables/differences.csv").open()))
    assert {row["cell_a"] for row in rows} == {"base", "grpo", "bupo-k2-s4"}
    row = next(r for r in rows if (r["cell_b"], r["benchmark"]) == ("grpo", "mean"))
    assert row["verdict"] == "above" and row["n_problems"] == "80"
    assert float(row["low"]) < float(row["difference"]) < float(row["high"])
    assert float(row["difference"]) == pytest.approx(float(row["b"]) - float(row["a"]))
    same = next(r for r in rows if (r["cell_b"], r["benchmark"]) == ("base", "mean"))
    assert float(same["difference"]) == 0.0 and same["verdict"] == "not resolved"
    html = (out / "index.html").read_text()
    assert "evaluation.max_new_tokens" in html and "<td>48</td><td>96</td>" in html
    settings = list(csv.DictReader((out / "tables/settings.csv").open()))
    assert {row["key"]: (row["a"], row["b"]) for row in settings} == {
        "evaluation.max_new_tokens": ("48", "96"),
        "cells that the other has not": ("none", "bupo-k3-s8"),
    }
    assert (out / "figures/difference-short-tiny_qwen3.svg").is_file()


def test_the_other_way_round_the_sign_turns(results, bupo):
    found = json.loads(bupo("compare", "long", "short", "--results", results, "--json")[1])
    row = next(r for r in found["differences"] if (r["cell_b"], r["benchmark"]) == ("grpo", "mean"))
    assert row["verdict"] == "below" and row["difference"] < 0


def test_cells_of_two_names_can_be_compared(results, bupo, tmp_path):
    named_cells = ("--cells", "grpo=bupo-k3-s8", "--out", tmp_path / "out", "--json")
    found = json.loads(bupo("compare", "short", "long", "--results", results, *named_cells)[1])
    assert {(r["cell_a"], r["cell_b"]) for r in found["differences"]} == {("grpo", "bupo-k3-s8")}
    with pytest.raises(UserError, match=r"short has no cell 'ppo'; it has base, grpo"):
        bupo("compare", "short", "long", "--results", results, "--cells", "ppo=grpo")
    with pytest.raises(UserError, match=r"'grpo' should be a cell of A and a cell of B"):
        bupo("compare", "short", "long", "--results", results, "--cells", "grpo")


def test_only_the_same_problems_count(results, bupo, tmp_path):
    shutil.copytree(results / "long", tmp_path / "long")
    shutil.copytree(results / "short", tmp_path / "short")
    path = tmp_path / "long/data/normal/arithmetic_easy.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[:10], "problem"] += " (another)"
    table.to_parquet(path)
    found = json.loads(bupo("compare", "short", "long", "--results", tmp_path, "--json")[1])
    assert found["problems"] == {"arithmetic_easy": 30, "arithmetic_hard": 40}
    assert found["problems_left_out"] == {"arithmetic_easy": 10, "arithmetic_hard": 0}
    row = next(r for r in found["differences"] if (r["cell_b"], r["benchmark"]) == ("grpo", "mean"))
    assert row["n_problems"] == 70


def test_what_shares_nothing_is_refused(results, bupo, tmp_path):
    shutil.copytree(results / "short", tmp_path / "short")
    other = Scenario(skill={"base": 0.0}, benchmarks={"gsm8k": 1.0}, problems=3, samples=2, snapshots=None)
    named(make_tree(tmp_path / "c", other), tmp_path, "other")
    with pytest.raises(
        UserError, match=r"short and other share no evaluated benchmark: arithmetic_easy, .*gsm8k"
    ):
        bupo("compare", "short", "other", "--results", tmp_path)
    with pytest.raises(UserError, match=r"nowhere/experiment\.yaml: there is no such file"):
        bupo("compare", "short", "nowhere", "--results", tmp_path)
    fewer = Scenario(skill={"base": 0.0}, models=("tiny_llama",), **SIZE)
    named(make_tree(tmp_path / "d", fewer), tmp_path, "llama")
    with pytest.raises(UserError, match=r"short and llama share no evaluated cell.*--cells"):
        bupo("compare", "short", "llama", "--results", tmp_path)

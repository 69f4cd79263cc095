"""What is behind every number, on the page and as a table."""

import csv
import json
import re

import pytest
from html_page import Page
from results_tree import Scenario, make_tree
from results_tree_runs import JOBS

from bupo.files import sha256_file, write_json, write_text
from bupo.report.collect import collect
from bupo.report.page import write_report
from bupo.report.provenance import MOST_FACTS, Fact, Shown, facts, trained_with

GRPO = "tiny_qwen3/grpo/seed1"
SMALL = Scenario(problems=2, samples=2, skill={"base": 0.0, "grpo": 0.1, "bupo-k2-s4": 0.1})


@pytest.fixture(scope="module")
def table(demo):
    """{(stage, subject, what): value}; what is told twice of one thing fails."""
    rows = list(csv.DictReader((demo / "report/tables/provenance.csv").open()))
    found = {(row["stage"], row["subject"], row["what"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def section(demo):
    text = " ".join(Page((demo / "report/index.html").read_text()).text.split())
    return text[text.rindex("Provenance This page") :]


def test_a_score_leads_to_problems_samples_weights_code_and_software(demo, table):
    summary = json.loads((demo / f"evaluation/{GRPO}/arithmetic_hard/summary.json").read_text())
    place = ("evaluation", f"{GRPO} on arithmetic_hard")
    assert table[*place, "problems of arithmetic_hard"] == summary["benchmark_sha256"]
    assert table[*place, "sampling: model, problems and decoding"] == summary["sampling_sha256"]
    assert table[*place, "commit"] == table["model before training", "tiny_qwen3", "commit"] == "c0de"
    done = json.loads((demo / f"runs/{GRPO}/done.json").read_text())
    training = {
        what: value for (stage, run, what), value in table.items() if (stage, run) == ("training", GRPO)
    }
    assert training == {
        "configuration": done["config_sha256"],
        "commit": "c0ffee1",
        "versions": "python 3.11.7, torch 2.11.0, verl 0.9.1",
        "problems of arithmetic.parquet": "da" * 32,
        "model/model.safetensors": "ef" * 32,
    }
    assert table["model before training", "tiny_qwen3", "model.safetensors"] == "ab" * 32
    assert table["experiment", "demo", "experiment.yaml"] == sha256_file(demo / "experiment.yaml")


def test_the_entropies_lead_to_what_was_analysed(demo, table):
    spec, problems = "spec/entropy/tiny_qwen3.yaml", "data/verl/tiny_qwen3/arithmetic_easy.parquet"
    for path in (spec, problems):
        told = table["entropy analysis", "tiny_qwen3", f"{path}, as it is now"]
        assert told == sha256_file(demo / path)
    assert table["entropy analysis", "tiny_llama", "spec/entropy/tiny_llama.yaml, as it is now"] == ""
    snapshot = "snapshots/step-000004/model.safetensors"
    assert table["entropy over training", GRPO, snapshot] == "f4" * 32
    assert table["entropy analysis", "tiny_llama", "commit"] == "c0de"
    assert table["entropy over training", GRPO, "commit"] == "c0de"


def test_the_page_tells_who_wrote_it_from_what_was_trained(section, table):
    written = table["report", "all of it", "versions"]
    assert re.search(r"^Provenance This page was written by (\w{40}|no git commit)", section)
    assert f", with {written}." in section and written.startswith("python 3.11")
    assert "3 runs were trained with python 3.11.7, torch 2.11.0, verl 0.9.1." in section
    assert f"{GRPO}commit c0ffee1" in section and "not recorded" in section


def test_a_run_that_went_on_with_other_software_has_both(tmp_path):
    experiment = make_tree(tmp_path, SMALL)
    path = experiment.parent / f"runs/{GRPO}/done.json"
    later = {**JOBS[1], "commit": "decade2", "versions": {"torch": "2.12.0"}}
    write_json(path, {**json.loads(path.read_text()), "jobs": [JOBS[0], later]})
    results = collect(experiment)
    told = [f for f in facts(results) if (f.stage, f.subject) == ("training", GRPO)]
    first, second = "python 3.11.7, torch 2.11.0, verl 0.9.1", "torch 2.12.0"
    assert [f.value for f in told if f.what == "versions"] == [first, second]
    assert [f.value for f in told if f.what == "commit"] == ["c0ffee1", "decade2"]
    assert trained_with(results) == {first: [GRPO, "tiny_qwen3/bupo-k2-s4/seed1"], second: [GRPO]}


def test_a_result_made_in_parts_has_the_commits_of_all_calls(tmp_path):
    experiment = make_tree(tmp_path, SMALL)
    name = f"evaluation/{GRPO}/arithmetic_easy"
    part = experiment.parent / f"logs/{name}/shard-1-of-2-samples-0-1.log"
    write_text(part, "[commit] 01d\nkilled\n[commit] 1a7e\n[spent] 1.0 s, 1.0 s of processors, 1 GPUs\n")
    results = collect(experiment)
    assert results.made_by[name] == ["c0de", "1a7e"]
    told = [
        f.value for f in facts(results) if (f.subject, f.what) == (f"{GRPO} on arithmetic_easy", "commit")
    ]
    assert told == ["c0de", "1a7e"]


def test_what_was_not_recorded_is_said_so(tmp_path):
    experiment = make_tree(tmp_path, Scenario(**{**vars(SMALL), "recorded": False}))
    found = facts(collect(experiment))
    assert {f.what for f in found if f.subject == GRPO and f.value is None} == {"commit", "versions"}
    assert [f.value for f in found if (f.stage, f.what) == ("evaluation", "commit")] == [None] * 6
    write_report(experiment, experiment.parent / "report", experiment.parent / "summary.json")
    text = " ".join(Page((experiment.parent / "report/index.html").read_text()).text.split())
    assert "What the runs were trained with is not recorded." in text
    assert f"{GRPO}commit not recorded" in text


def test_of_very_many_the_page_shows_the_first():
    many = [Fact("training", f"m/c{i}/seed1", "commit", "x") for i in range(MOST_FACTS + 1)]
    assert not Shown.of(many).all and len(Shown.of(many).stages["training"]) == MOST_FACTS
    assert Shown.of(many[1:]).all

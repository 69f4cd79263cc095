"""The page: complete, self-contained, honest about what is not there."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from html_page import Page
from results_tree import Scenario, make_tree

from bupo.errors import UserError
from bupo.report.collect import collect
from bupo.report.page import write_report


@pytest.fixture(scope="module")
def html(demo) -> str:
    return (demo / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def without_commit(root: Path) -> str:
    """The page but for the code's commit, which may change while the tests run."""
    return re.sub(r"written by <code>.*?</code>", "", (root / "report/index.html").read_text())


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_page_needs_nothing_else(html, page):
    assert page.references
    assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in page.references)
    assert not re.search(r"url\((?!#)|@import|<script[^>]|<link|<iframe|fetch\(|import\(|XMLHttp", html)
    assert "default-src 'none'" in html, "the browser itself is told to load nothing"
    assert len(html.encode()) < 3_000_000


def test_identifiers_are_unique_and_every_reference_has_a_target(page):
    assert len(page.ids) == len(set(page.ids))
    assert {reference[1:] for reference in page.references if reference.startswith("#")} <= set(page.ids)


def test_it_leads_with_the_answer_and_how_sure(page):
    text = squeezed(page.text)
    start = text[: text.index("Scores avg@n")]
    assert (
        "Does bottom-up training beat GRPO on tiny_qwen3? In part: of 2 bottom-up cells 1 beat GRPO" in start
    )
    assert re.search(r"bupo-kauto-s4 \(layer 3\): \+\d+\.\d points against grpo over all benchmarks", start)
    assert re.search(
        r"\(95 % interval \+\d+\.\d to \+\d+\.\d, 200 problems, p < 0\.001 corrected\): above", start
    )
    assert "Every cell learned." in start and "one seed" in start


def test_numbers_in_the_page_are_those_of_the_evaluation(demo, page):
    summary = json.loads((demo / "evaluation/tiny_qwen3/grpo/seed1/arithmetic_hard/summary.json").read_text())
    value = f"{100 * summary['avg_at_n']['value']:.1f}"
    written = json.loads((demo / "summary.json").read_text())
    grpo = next(cell for cell in written["cells"] if cell["cell"] == "grpo")
    assert grpo["scores"]["arithmetic_hard"]["value"] == pytest.approx(summary["avg_at_n"]["value"])
    assert grpo["scores"]["arithmetic_hard"]["n_problems"] == 100
    rows = list(csv.DictReader((demo / "report/tables/scores.csv").open()))
    row = next(r for r in rows if (r["cell"], r["benchmark"]) == ("grpo", "arithmetic_hard"))
    assert f"{100 * float(row['avg_at_n']):.1f}" == value and value in page.text


def test_every_score_stands_beside_what_explains_it(page):
    text = squeezed(page.text)
    assert re.search(
        r"decoding \d+\.\d to \d+\.\d 100 problems × 8 cut off \d+\.\d, no box \d+\.\d, \d+ tokens", text
    )
    assert "Where the spread is from" in text and "A/S + B/P + C/(S P) + D/(S P n)" in text
    assert "not resolvable with" in text or "above" in text


def test_graders_at_odds_are_shown_with_both_readings(demo, page, html):
    text = squeezed(page.text)
    assert "Graders at odds: 2 answers to review" in text
    assert "right (1/2; 1/2) wrong (nothing; \\frac{1}{2})" in text
    assert "&lt;0.5&gt;" in html
    rows = list(csv.DictReader((demo / "report/tables/grader_disagreements.csv").open()))
    assert [(row["samples"], row["runs"], row["answer"]) for row in rows] == [("12", "4", "<0.5>")] * 2


def test_auto_says_what_it_resolved_to_and_why(demo, floor, page):
    assert "auto is layer 3, the measured boundary layer of tiny_qwen3." in squeezed(page.text)
    text = squeezed(Page((floor / "report/index.html").read_text()).text)
    assert "auto is layer 2, the experiment's stated fallback, since the boundary layer is unclear." in text
    boundary = json.loads((demo / "summary.json").read_text())["boundary"]
    assert boundary["tiny_qwen3"]["boundary_layer"] == 3 and boundary["tiny_llama"]["boundary_layer"] is None


def test_captions_say_lens_n_and_level(page):
    text = squeezed(page.text)
    assert (
        "tiny_qwen3, 6 layers counted from 1, raw lens (no final norm). 773 tokens in responses to 48 problems; "
        "bands are 95 % intervals over problems." in text
    )
    assert "Over the training of tiny_qwen3" in text
    assert "Dashed lines: another policy is trained after step 4 (bupo-kauto-s4 (layer 3), bupo-k2-s4" in text


def test_tables_of_the_entropies_keep_slices_and_anchors(demo):
    rows = list(csv.DictReader((demo / "report/tables/entropy.csv").open()))
    assert {row["slice"] for row in rows if row["quantity"] == "entropy"} >= {"correct", "position 1-8"}
    assert {row["slice"] for row in rows if row["quantity"] == "norm"} == {"all"}
    assert {row["anchor"] for row in rows if row["quantity"] == "kl_to_later"} == {"2"}
    assert {row["anchor"] for row in rows if row["quantity"] == "entropy"} == {""}
    flow = list(csv.DictReader((demo / "report/tables/flow.csv").open()))
    steps = {row["step"] for row in flow if row["run"] == "tiny_qwen3/grpo/seed1"}
    assert steps == {"4", "8", "12", "15"} and "tiny_qwen3/base/seed0" in {row["run"] for row in flow}


def test_a_smoke_run_is_told_as_what_it_is(floor):
    text = squeezed(Page((floor / "report/index.html").read_text()).text)
    assert "it shows that they work, not that a method does." in text
    assert "No comparison: every score is at the floor." in text
    assert "it compares no methods" in text
    assert "Over the training of" not in text and "not complete" not in text, "no sweep was asked for"


def test_a_collapsed_run_is_told_beside_its_scores_and_curves(tmp_path):
    experiment = make_tree(tmp_path, Scenario(collapsed="bupo-k2-s4", problems=10))
    folder = experiment.parent
    write_report(experiment, folder / "report", folder / "summary.json")
    text = squeezed(Page((folder / "report/index.html").read_text()).text)
    assert "seed 1 collapsed at step 12" in text
    assert "bupo-k2-s4/seed1 collapsed at step 12 of 15" in text
    assert "bupo/truncated was 0.912, 0.95, 1.0 in its last steps, where max_truncated is 0.9" in text
    cells = {
        cell["cell"]: cell["collapsed"] for cell in json.loads((folder / "summary.json").read_text())["cells"]
    }
    assert {name for name, seeds in cells.items() if seeds} == {"bupo-k2-s4"}
    assert cells["bupo-k2-s4"]["1"]["step"] == 12
    cost = (folder / "report/tables/cost.csv").read_text().splitlines()
    assert cost[0].endswith("collapsed_at_step")
    assert sorted(line.rsplit(",", 1)[1] for line in cost[1:]) == ["", "", "12"]


def test_text_from_outside_is_escaped(html):
    assert "shells &amp; finds" in html and "&lt;more&gt;" in html and "<more>" not in html


def test_the_command_makes_the_same_page_and_removes_old_files(demo, tmp_path):
    root = tmp_path / "demo"
    shutil.copytree(demo, root)
    stale = root / "report" / "figures" / "training-reward-gone.svg"
    stale.write_text("<svg/>")
    command = [sys.executable, "-m", "bupo.report", "build", "--experiment", root / "experiment.yaml"]
    command += ["--out", root / "report", "--summary", root / "summary.json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not stale.exists()
    assert without_commit(root) == without_commit(demo), "the same results give the same page"
    figures = {path.name for path in (root / "report/figures").iterdir()}
    names = {name.removesuffix(".svg") for name in figures if name.endswith(".svg")}
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {
        "difference-grpo-tiny_qwen3",
        "difference-base-tiny_qwen3",
        "pass-at-k-tiny_qwen3-arithmetic_easy",
        "training-reward-tiny_qwen3",
        "training-entropy-internal-tiny_qwen3",
        "entropy-families-raw",
        "entropy-flow-final_norm-tiny_llama",
        "entropy-change-raw-tiny_qwen3",
        "position-ffn-entropy-change-raw-tiny_qwen3",
        "state-norm-tiny_qwen3",
        "flow-perplexity-tiny_qwen3",
    } <= names
    tables = {path.stem: list(csv.reader(path.open())) for path in (root / "report/tables").iterdir()}
    assert set(tables) == {
        *("scores", "comparisons", "responses", "pass_at_k", "training", "entropy", "flow"),
        *("boundary", "data", "training_rows", "contamination", "cost", "cost_by_stage"),
        *("grader_disagreements", "variance", "provenance"),
    }
    assert all(len(rows) > 1 and len({len(row) for row in rows}) == 1 for rows in tables.values())
    assert [row[1] for row in tables["boundary"][1:7]] == ["1", "2", "3", "4", "5", "6"]


def test_an_experiment_that_trains_nothing_tells_its_boundary_layers(tmp_path):
    experiment = make_tree(tmp_path, Scenario(problems=2, samples=2))
    resolved = yaml.safe_load(experiment.read_text())
    resolved["models"]["train"], resolved["cells"], resolved["evaluation"] = [], [], {"settings": None}
    resolved["data"] |= {"train": [], "benchmarks": []}
    resolved["analysis"] |= {"snapshots": None, "sets": ["arithmetic_easy"]}
    experiment.write_text(yaml.safe_dump(resolved))
    for name in ("evaluation", "runs"):
        shutil.rmtree(experiment.parent / name)
    (experiment.parent / "data/contamination.json").unlink()
    write_report(experiment, experiment.parent / "report", experiment.parent / "summary.json")
    html = (experiment.parent / "report/index.html").read_text()
    text = squeezed(Page(html).text)
    assert "1 of 2 models have a clear boundary layer; nothing is trained here." in text
    assert "tiny_qwen3: layer 3 of 6 (48 problems" in text and "tiny_llama: unclear" in text
    assert 'id="scores"' not in html and "not complete" not in text
    assert "arithmetic_easy" in text[text.index("Rows of each problem set") :]


def test_what_is_not_there_is_named(demo, tmp_path):
    root = tmp_path / "demo"
    shutil.copytree(demo, root)
    shutil.rmtree(root / "evaluation/tiny_qwen3/bupo-k2-s4/seed1/arithmetic_hard")
    shutil.rmtree(root / "entropy/tiny_llama")
    (root / "entropy/tiny_qwen3/grpo/seed1/flow.parquet").unlink()
    lines = (root / "runs/tiny_qwen3/grpo/seed1/metrics.jsonl").read_text().splitlines()
    kept = [{k: v for k, v in json.loads(line).items() if k != "actor/grad_norm"} for line in lines]
    (root / "runs/tiny_qwen3/grpo/seed1/metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in kept)
    )
    write_report(root / "experiment.yaml", root / "report", root / "summary.json")
    text = squeezed(Page((root / "report/index.html").read_text()).text)
    assert "3 of the files that it reads are not there" in text
    assert "entropy analysis of tiny_llama: entropy/tiny_llama/boundary.json is not there." in text
    assert "entropy over the training of tiny_qwen3/grpo/seed1: entropy/tiny_qwen3/grpo" in text
    assert "not evaluated" in text
    assert "Gradient norm: not recorded for tiny_qwen3/grpo/seed1." in text


def test_an_experiment_before_its_first_result(tmp_path):
    experiment = make_tree(tmp_path, Scenario(problems=2, samples=2))
    for name in ("evaluation", "runs", "entropy", "data", "models"):
        shutil.rmtree(experiment.parent / name)
    write_report(experiment, experiment.parent / "report", experiment.parent / "summary.json")
    text = Page((experiment.parent / "report/index.html").read_text()).text
    assert "not evaluated on all benchmarks yet" in text


def test_mistakes_are_told_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"experiment\.yaml: there is no such file"):
        collect(tmp_path / "experiment.yaml")
    experiment = make_tree(tmp_path, Scenario(problems=2, samples=2))
    (experiment.parent / "entropy/tiny_qwen3/boundary.json").write_text("{}")
    with pytest.raises(UserError, match=r"boundary\.json: the key 'model' is missing"):
        collect(experiment)
    experiment = make_tree(tmp_path / "other", Scenario(problems=2, samples=2))
    statistics = experiment.parent / "entropy/tiny_qwen3/statistics.parquet"
    pd.read_parquet(statistics).drop(columns="anchor").to_parquet(statistics)
    with pytest.raises(UserError, match=r"statistics\.parquet: the key 'anchor' is missing"):
        collect(experiment)

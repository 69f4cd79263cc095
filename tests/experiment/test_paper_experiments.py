"""Every file of configs/experiment/: it validates, can be planned, and Snakemake plans the same jobs."""

import argparse
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bupo.console.plan import Estimate, add_arguments, estimated
from bupo.console.shared import hours
from bupo.experiment.resolve import plan_of
from bupo.files import read_yaml
from bupo.published.match import published_for
from bupo.published.tables import published_pattern, published_patterns, published_tables

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs/experiment").glob("*.yaml"))
PAPER = [name for name in EXPERIMENTS if name.startswith("paper_")]
METHODS = {"ppo", "reinforce_plus_plus", "rloo", "grpo", "bupo"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the workflow without results."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "Snakefile", folder)
    for part in ("rules", "configs", "envs", "profiles"):
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
    return folder


@cache
def planned(name: str) -> Estimate:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return estimated(parser.parse_args([name, "--configs", str(ROOT / "configs"), "--results", "no/results"]))


@cache
def dry_run(folder: Path, name: str) -> str:
    command = [Path(sys.executable).parent / "snakemake", "--dry-run", "--quiet", "rules", "--cores", "2"]
    done = subprocess.run(
        [*command, "--config", f"experiment={name}"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def cells(name: str, **axes: object) -> list[str]:
    return [
        cell.run
        for cell in planned(name).plan.cells
        if all(getattr(cell, axis) == value for axis, value in axes.items())
    ]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_snakemake_plans_the_jobs_that_bupo_plan_tells_of(checkout, name):
    told = dry_run(checkout, name)
    (total,) = set(re.findall(r"^total\s+(\d+)$", told, re.MULTILINE))  # told before and after the jobs
    rows = planned(name).rows
    assert int(total) == sum(row.jobs for row in rows) + 1  # all


@pytest.mark.parametrize("name", [*PAPER, "math_deepscaler_grid"])
def test_the_time_of_every_job_on_a_gpu_is_estimated(name):
    estimate = planned(name)
    assert estimate.unknown == 0 and not estimate.disk.unknown
    assert estimate.seconds(gpu=True) > 0


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_layers_are_within_the_model(name):
    plan = planned(name).plan
    for cell in plan.cells:
        assert cell.layer in (None, "auto") or 1 <= cell.layer <= plan.models[cell.model].layers


def test_a_training_of_qwen3_4b_takes_what_the_paper_says():
    trained = {row.of: row for row in planned("paper_qwen3_4b").rows if row.rule == "train"}
    for method in METHODS - {"ppo"}:
        row = trained[f"qwen3_4b {method}"]
        assert (row.jobs, row.gpus) == (1, 8) and row.seconds == pytest.approx(13.2 * 3600, rel=1e-3)


@pytest.mark.parametrize("name", PAPER)
def test_only_what_the_paper_does_is_trained(name):
    experiment = planned(name).plan.experiment
    assert experiment.training.overrides == [] and experiment.training.settings == "paper"
    if experiment.grid:
        assert (experiment.training.steps, experiment.data.train) == (300, ["deepmath5k"])


@pytest.mark.parametrize("model", ["qwen3_4b", "qwen3_8b", "octothinker_3b", "octothinker_8b"])
def test_every_method_is_trained_once_and_the_base_model_is_evaluated(model):
    plan = planned(f"paper_{model}").plan
    assert {cell.method for cell in plan.cells} == METHODS and len(plan.cells) == 5
    assert f"{model}/base/seed0" in plan.evaluations


def test_every_published_score_has_an_experiment_that_it_can_be_set_beside(checkout):
    found = set()
    for name in PAPER:
        dry_run(checkout, name)
        experiment = read_yaml(checkout / "results" / name / "experiment.yaml")
        bases = [{"model": model, "method": "base"} for model in experiment["models"]["train"]]
        for cell in [*bases, *experiment["cells"]]:
            for row in published_for(experiment, cell):
                if row.comparable:
                    found |= {(cell["model"], row.seeds, *score) for score in row.scores.items()}
    shares = {(model, seeds, name, score.percent) for model, seeds, name, score in found}
    for table in published_tables().values():
        for row in table.rows:
            for name, percent in row.scores.items():
                assert (row.model, table.seeds, name, f"{percent:.2f}") in shares


def test_the_cells_of_the_single_files_are_those_of_the_whole():
    single = {run for name in PAPER if name != "paper_all" for run in cells(name)}
    assert single == set(cells("paper_all"))


def test_the_three_seeds_are_those_of_the_grid_and_of_its_baseline():
    for model in ("qwen3_4b", "qwen3_8b", "octothinker_3b", "octothinker_8b"):
        for method in ("grpo", "bupo"):
            assert len(cells("paper_seeds", model=model, method=method)) == 3


def test_the_documentation_tells_of_every_experiment_and_what_it_costs():
    text = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (\d+) \| ([\d.,]+) \|$", text, re.MULTILINE)
    assert {name for name, *_ in rows} == {*PAPER, "math_deepscaler_grid"}
    for name, trainings, gpu_hours in rows:
        estimate = planned(name)
        assert (int(trainings), gpu_hours) == (len(estimate.plan.cells), hours(estimate.seconds(gpu=True)))
    copies = [name for name in PAPER if name != "paper_all" and "qwen3_4b/grpo/seed1" in cells(name)]
    assert len(copies) == 9 and "in nine of the files" in text


def test_pass_at_k_is_of_300_samples():
    evaluation = planned("paper_pass_at_k").plan.evaluation
    assert evaluation.samples == 300 and evaluation.pass_at_k == [2**i for i in range(9)]


def test_the_grid_crosses_layers_and_steps_on_both_training_sets():
    plan = planned("math_deepscaler_grid").plan
    bupo = {(c.train_set, c.layer, c.iterative_steps) for c in plan.cells if c.method == "bupo"}
    sets, layers, steps = (set(values) for values in zip(*bupo, strict=True))
    assert sets == {"math", "deepscaler"} and len(bupo) == 2 * len(layers) * len(steps) and len(steps) > 2
    assert {c.train_set for c in plan.cells if c.method == "grpo"} == sets


def test_the_analysis_of_the_families_trains_and_evaluates_nothing(checkout):
    plan = planned("paper_entropy").plan
    assert plan.cells == () and plan.evaluations == [] and plan.train_sets == []
    assert {"normalise", "export_benchmark", "named_model", "entropy"} <= {
        row.rule for row in planned(plan.name).rows
    }
    told = dry_run(checkout, "paper_entropy")
    assert not re.search(r"^(train|evaluate|sample|contamination|configure) ", told, re.MULTILINE)
    families = ("qwen2_5_math", "qwen3", "llama3", "deepseek_math", "r1_distill", "octothinker")
    for family in families:
        assert any(model.startswith(family) for model in plan.models), family
    assert {model for model in plan.models if published_pattern(model)} >= {
        "qwen3_4b",
        "llama3_1_8b_instruct",
    }


def test_a_model_that_the_paper_describes_is_analysed():
    named = {model for pattern in published_patterns() for model in pattern.models}
    assert named <= set(plan_of("paper_entropy", [], ROOT / "configs").models)

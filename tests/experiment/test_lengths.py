"""Prompts and responses fit into what the models hold, or that is told before anything runs."""

import argparse
import re
from pathlib import Path

import pytest

from bupo.console.plan import add_arguments, estimated
from bupo.errors import UserError
from bupo.experiment.lengths import longest_response
from bupo.experiment.resolve import plan_of, resolve
from bupo.experiment.workload import Workloads
from bupo.files import read_yaml
from bupo.models.config import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs/experiment").glob("*.yaml"))
SHORT = {"qwen2_5_math_1_5b", "qwen2_5_math_7b", "deepseek_math_7b"}
HUB = {"repo": "a/b", "revision": "main"}
TRAINED = ["models.train=[qwen2_5_math_7b]", "models.analyse=[]", "training.engine=gpu", "data.train=[math]"]
TRAINED += ["data.benchmarks=[math500]", "grid=[{method: grpo}]", "analysis.snapshots=null"]


def change(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def holds(project, tokens):
    """The demo's model, with a context of so many tokens."""
    change(project / "configs/model/tiny_qwen3.yaml", "model_max_length: 4096", f"model_max_length: {tokens}")


def refused(overrides, configs, name="demo"):
    with pytest.raises(UserError) as error:
        plan_of(name, overrides, configs)
    assert "\n" not in str(error.value)
    return str(error.value).replace(f"{configs}/", "")


@pytest.mark.parametrize(
    ("positions", "wanted", "longest"), [(None, 7168, 7168), (4096, 7168, 3072), (8192, 7168, 7168)]
)
def test_a_response_is_as_long_as_it_fits_behind_the_prompt(positions, wanted, longest):
    model = ModelConfig(name="far", layers=2, prompt="qwen", hub=HUB, positions=positions)
    assert longest_response(model, wanted, 1024) == longest


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_model_holds_what_its_experiment_asks_of_it(root, name):
    configs = root / "configs"
    plan = plan_of(name, [], configs)
    training, prompt = plan.experiment.training, plan.experiment.data.max_prompt_tokens
    analysis = read_yaml(configs / "analysis" / f"{plan.experiment.analysis.settings}.yaml")["max_new_tokens"]
    workloads = Workloads(configs, training.engine or "", training.settings, training.overrides, name)
    for model in (model for model in plan.models.values() if model.context is not None):
        lengths = [
            workloads.of(c.method, c.model).response_tokens for c in plan.cells if c.model == model.name
        ]
        if model.name in plan.experiment.models.train:
            assert plan.evaluation is not None
            lengths.append(plan.evaluation.max_new_tokens)
        if model.name in plan.analysed:
            # where something is trained, it is analysed at the whole length
            lengths.append(analysis if plan.cells else longest_response(model, analysis, prompt))
        assert lengths and max(lengths) + prompt <= model.context


def test_models_that_hold_less_give_shorter_responses_to_the_analysis_and_change_no_others(project):
    configs = project / "configs"
    specs = project / "results/paper_entropy/spec"
    resolve({"experiment": "paper_entropy"}, configs)
    found = {path.stem: read_yaml(path) for path in (specs / "entropy").glob("*.yaml")}
    assert (
        len(found) == 27 and {name for name, spec in found.items() if spec["max_new_tokens"] != 7168} == SHORT
    )
    resolved = read_yaml(specs.parent / "experiment.yaml")["analysis"]
    assert resolved["max_new_tokens"] == 7168
    assert resolved["of_model"] == {name: {"max_new_tokens": 3072} for name in SHORT}
    before = {path: path.read_text() for path in specs.rglob("*.yaml")}
    for name in SHORT:
        assert found[name]["max_new_tokens"] == 3072
        assert (
            found[name] | {"max_new_tokens": 7168} == found["llama3_1_8b" if "seek" in name else "qwen3_4b"]
        )
        change(configs / f"model/{name}.yaml", "\npositions: 4096\n", "\n")
    resolve({"experiment": "paper_entropy"}, configs)
    changed = {path for path, text in before.items() if path.read_text() != text}
    assert changed == {specs / kind / f"{name}.yaml" for name in SHORT for kind in ("entropy", "models")}
    assert "of_model" not in read_yaml(specs.parent / "experiment.yaml")["analysis"]


def test_a_shorter_prompt_leaves_more_to_the_response(project):
    resolve({"experiment": "paper_entropy", "overrides": ["data.max_prompt_tokens=96"]}, project / "configs")
    spec = project / "results/paper_entropy/spec/entropy/deepseek_math_7b.yaml"
    assert read_yaml(spec)["max_new_tokens"] == 4000


def test_the_plan_tells_of_shorter_responses_and_counts_them(root):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    configs = str(root / "configs")
    found = estimated(parser.parse_args(["paper_entropy", "--configs", configs, "--results", "no/results"]))
    works = {row.of: row.works[0][0] for row in found.rows if row.rule == "entropy"}
    told = "responses of 3,072 tokens, the most that its context leaves of 7,168;"
    assert {name for name, work in works.items() if told in work.basis} == SHORT
    assert all(
        ("responses as long as they may be;" in work.basis) == (name not in SHORT)
        for name, work in works.items()
    )
    # the parameters are the same, and so is what the analysis takes for a response beside its sampling
    short, long = works["qwen2_5_math_7b"].seconds, works["r1_distill_qwen_7b"].seconds
    rate = 1887 * 14.768e9 / 7615616512
    assert long - short == pytest.approx(100 * (7168 - 3072) / rate)


def test_what_just_fits_is_taken(project):
    holds(project, 112)  # 64 of a prompt and 48 of a response
    resolve({"experiment": "demo"}, project / "configs")
    assert "of_model" not in read_yaml(project / "results/demo/experiment.yaml")["analysis"]


def test_only_what_is_analysed_is_told_of(project):
    holds(project, 112)
    change(project / "configs/analysis/demo.yaml", "max_new_tokens: 48", "max_new_tokens: 60")
    overrides = ["models.analyse=[tiny_qwen3]", "analysis.snapshots=null", "grid=[{method: grpo}]"]
    resolve({"experiment": "demo", "overrides": overrides}, project / "configs")
    resolved = project / "results/demo/experiment.yaml"
    assert read_yaml(resolved)["analysis"]["of_model"] == {"tiny_qwen3": {"max_new_tokens": 48}}
    resolve({"experiment": "demo", "overrides": ["models.analyse=[]", *overrides[1:]]}, project / "configs")
    assert "of_model" not in read_yaml(resolved)["analysis"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            [],
            "configs/evaluation/demo.yaml: max_new_tokens = 48 should be at most 47 for tiny_qwen3, which holds 111 "
            "tokens, 64 of them the prompt's (data.max_prompt_tokens).",
        ),
        (
            ["data.max_prompt_tokens=63", "training.overrides=[data.max_response_length=49]"],
            "configs/experiment/demo.yaml: data.max_response_length (of_model in configs/settings/paper.yaml, or "
            "training.overrides) = 49 should be at most 48 for tiny_qwen3, which holds 111 tokens, 63 of them the "
            "prompt's (data.max_prompt_tokens).",
        ),
        (
            ["data.max_prompt_tokens=111"],
            "configs/experiment/demo.yaml: data.max_prompt_tokens = 111 should be less than 111, the tokens of prompt "
            "and response that tiny_qwen3 holds.",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(project, overrides, sentence):
    holds(project, 111)
    assert refused(overrides, project / "configs") == sentence.replace("configs/", "")
    with pytest.raises(UserError):
        resolve({"experiment": "demo", "overrides": overrides}, project / "configs")
    assert not (project / "results").exists()


def test_the_papers_lengths_are_refused_for_a_model_of_4096(project):
    configs = project / "configs"
    settings = ["evaluation.settings=paper", *TRAINED, "data.max_prompt_tokens=1024"]
    assert refused(settings, configs).startswith(
        "evaluation/paper.yaml: max_new_tokens = 7168 should be at most 3072"
    )
    change(configs / "evaluation/paper.yaml", "max_new_tokens: 7168", "max_new_tokens: 3072")
    said = refused(settings, configs)
    assert re.search(
        r"data\.max_response_length \(.*\) = 7168 should be at most 3072 for qwen2_5_math_7b", said
    )
    change(
        configs / "settings/paper.yaml",
        "\nof_model:\n",
        "\nof_model:\n  qwen2_5_math_7b: {max_response_length: 3072}\n",
    )
    assert [cell.run for cell in plan_of("demo", settings, configs).cells] == ["qwen2_5_math_7b/grpo/seed1"]


@pytest.mark.parametrize("length", ["${data.gen_batch_size}", "null", "long"])
def test_a_length_that_is_verls_is_left_to_verl(project, length):
    overrides = [f"training.overrides=['data.max_response_length={length}']"]
    assert len(plan_of("demo", overrides, project / "configs").cells) == 3


def test_nothing_is_refused_of_a_model_that_does_not_say_what_it_holds(project):
    plan = plan_of("paper_qwen3_4b", ["data.max_prompt_tokens=1000000"], project / "configs")
    assert plan.models["qwen3_4b"].context is None

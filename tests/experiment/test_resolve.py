import pytest

from bupo.errors import UserError
from bupo.experiment.resolve import plan_of, resolve
from bupo.files import read_yaml


def write(project, config=None, **changes):
    """Resolve the demo; return the paths of all files that were written."""
    before = {p: p.stat().st_mtime_ns for p in (project / "results").rglob("*.yaml")}
    resolve({"experiment": "demo", **changes, **(config or {})}, project / "configs")
    after = {p: p.stat().st_mtime_ns for p in (project / "results").rglob("*.yaml")}
    return {str(p.relative_to(project / "results/demo")) for p in after if after[p] != before.get(p)}


def edit(project, old, new):
    path = project / "configs/experiment/demo.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_comment_and_another_order_of_keys_change_no_file(project):
    written = write(project)
    assert "experiment.yaml" in written and "spec/runs/tiny_qwen3/grpo/seed1.yaml" in written
    edit(project, "# seeds the data", "# this seeds the data")
    edit(project, "seed: 1\n", "")
    edit(project, "models:\n", "seed: 1\nmodels:\n")
    assert write(project) == set()


def test_a_description_changes_no_spec(project):
    write(project)
    edit(project, "description: >-", "description: >-\n  Told anew.")
    assert write(project) == {"experiment.yaml"}


def test_more_samples_touch_the_evaluation_alone(project):
    write(project)
    path = project / "configs/evaluation/demo.yaml"
    path.write_text(path.read_text().replace("samples: 8", "samples: 9"))
    assert write(project) == {"experiment.yaml", "spec/evaluation/tiny_qwen3.yaml"}


def test_a_limit_changes_no_spec_so_that_nothing_is_normalised_anew(project):
    write(project)
    assert write(project, overrides=["data.limits.arithmetic_easy=5"]) == {"experiment.yaml"}


def test_an_override_reaches_every_cell_and_a_new_cell_touches_no_other(project):
    write(project)
    runs = {name for name in write(project, overrides=["training.steps=13"]) if name.startswith("spec/")}
    assert len(runs) == 3 and all(name.startswith("spec/runs/") for name in runs)
    edit(project, "    layer: [auto, 5]", "    layer: [auto, 5, 2]")
    new = write(project, overrides=["training.steps=13"])
    assert new == {"experiment.yaml", "spec/runs/tiny_qwen3/bupo-k2-s4/seed1.yaml"}


def test_snapshots_are_of_the_runs_and_not_of_the_models_analysis(project):
    write(project)
    written = {
        name for name in write(project, overrides=["analysis.snapshots=6"]) if name.startswith("spec/")
    }
    assert len(written) == 3 and all(name.startswith("spec/runs/") for name in written)
    spec = read_yaml(project / "results/demo/spec/runs/tiny_qwen3/grpo/seed1.yaml")
    assert spec["snapshot_every"] == 6


def test_every_run_and_its_base_are_analysed_over_the_training_if_snapshots_are_kept(project):
    plan = resolve(
        {"experiment": "demo", "overrides": ["models.analyse=[]", "grid=[{method: grpo}]"]},
        project / "configs",
    )
    assert plan.flows == [
        f"results/demo/entropy/tiny_qwen3/{run}/flow.parquet" for run in ("base/seed0", "grpo/seed1")
    ]
    assert plan.run_folder("tiny_qwen3/base/seed0") == "results/demo/models/tiny_qwen3/model.json"
    assert plan.run_folder("tiny_qwen3/grpo/seed1") == "results/demo/runs/tiny_qwen3/grpo/seed1"
    assert plan.configs("tiny_qwen3") == ["results/demo/runs/tiny_qwen3/grpo/seed1/config.yaml"]
    assert (project / "results/demo/spec/entropy/tiny_qwen3.yaml").exists()
    plan = plan_of(
        "demo", ["models.analyse=[]", "grid=[{method: grpo}]", "analysis.snapshots=null"], project / "configs"
    )
    assert plan.flows == [] and plan.analysed == []


def test_the_analysis_answers_one_set_or_several(project):
    both = ["analysis.problems=[arithmetic_easy,arithmetic_hard]"]
    plan = resolve({"experiment": "demo", "overrides": both}, project / "configs")
    folder = "results/demo/data/verl/tiny_qwen3"
    tables = [f"{folder}/arithmetic_easy.parquet", f"{folder}/arithmetic_hard.parquet"]
    assert plan.analysis_tables("tiny_qwen3") == tables
    resolved = read_yaml(project / "results/demo/experiment.yaml")["analysis"]
    assert resolved["sets"] == ["arithmetic_easy", "arithmetic_hard"] and resolved["problems"] == 96
    assert plan_of("demo", [], project / "configs").analysis_tables("tiny_qwen3") == tables[:1]


def test_the_resolved_experiment_names_every_cell(project):
    write(project)
    resolved = read_yaml(project / "results/demo/experiment.yaml")
    assert [cell["cell"] for cell in resolved["cells"]] == ["grpo", "bupo-kauto-s4", "bupo-k5-s4"]
    assert resolved["mlflow"]["uri"] == "sqlite:///results/mlflow/mlflow.db"


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.benchmarks=[aime99]"], "data = 'aime99' is not known; configs/data/ has: "),
        (["models.train=[gpt5]"], "models = 'gpt5' is not known; configs/model/ has: "),
        (["training.engine=tpu"], "training.engine = 'tpu' is not known; configs/engine/ has: cpu"),
        (["analysis.settings=none"], "analysis.settings = 'none' is not known"),
        (["analysis.problems=[aime99]"], "analysis.problems = 'aime99' is not known; configs/data/ has: "),
        (["analysis.problems=[math500,math500]"], "analysis.problems = ['math500', 'math500']: each set should be named once"),
        (["analysis.problems=[]"], "analysis.problems = []"),
        (["analysis.shards=0"], "analysis.shards = 0: input should be greater than 0"),
        (["analysis.shards=2"], "analysis.shards = 2 should be at most 1, for that many batches of responses come of 96 problems"),
        (["analysis.snapshots=0"], "analysis.snapshots = 0: input should be greater than 0"),
        (["data.limits.gsm8k=3"], "data.limits.gsm8k is not a set of this experiment"),
        (["trainin.steps=3"], "trainin is not a known key; known here are: description, seed, models"),
        (["grid=[{method: bupo, layer: 9, iterative_steps: 1}]"], "layer = 9 is out of range; tiny_qwen3 has layers 1 to 6"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_nothing_is_written(project, overrides, sentence):
    with pytest.raises(UserError) as error:
        resolve({"experiment": "demo", "overrides": overrides}, project / "configs")
    assert sentence in str(error.value) and "\n" not in str(error.value)
    assert not (project / "results").exists()


def test_a_wrong_verl_key_is_told_before_anything_runs(project):
    overrides = ["training.overrides=[actor_rollout_ref.actor.optim.learning_rate=1]"]
    with pytest.raises(UserError, match="learning_rate"):
        resolve({"experiment": "demo", "overrides": overrides}, project / "configs")
    assert not (project / "results").exists()


def test_a_local_set_without_a_directory_is_refused(project):
    with pytest.raises(UserError, match=r"data.directory = None should name the folder"):
        resolve({"experiment": "math_smoke", "overrides": ["data.source=local"]}, project / "configs")


def test_analysis_and_evaluation_put_problems_as_the_training_does(project):
    write(project, overrides=["models.train=[qwen3_4b]", "models.analyse=[qwen3_4b]"])
    spec = project / "results/demo/spec"
    assert read_yaml(spec / "evaluation/qwen3_4b.yaml")["chat_template_kwargs"] == {"enable_thinking": False}
    assert read_yaml(spec / "entropy/qwen3_4b.yaml")["chat_template"] == {"enable_thinking": False}
    assert read_yaml(spec / "runs/qwen3_4b/grpo/seed1.yaml")["prompt"] == "qwen"

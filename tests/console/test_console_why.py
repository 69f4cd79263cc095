import json
from hashlib import sha256

import pytest
from small_tree import BASE, BUPO, GRPO, MODEL, call

from bupo.console.lineage import subject_of
from bupo.errors import UserError
from bupo.files import sha256_file, write_json, write_text
from bupo.identity import config_sha256

HOUR = "[spent] 3600.0 s, 7200.0 s of processors, 2 GPUs\n"
TABLE = "results/demo/data/verl/tiny_qwen3/arithmetic.parquet"


def why(bupo, what):
    code, said = bupo("why", what, "--json")
    assert code == 0
    return json.loads(said)


def one(bupo, what):
    (facts,) = why(bupo, what)
    return facts


@pytest.fixture
def trained(tree):
    """A run of two calls on eight GPUs, the first of which was killed."""
    config = tree.config(gpus=8)
    write_text(tree.root / TABLE, "problems")
    files = {TABLE: sha256_file(tree.root / TABLE)}
    killed = call(config, outcome="killed", ended="2026-01-01T10:30:00+00:00", train_files=files)
    tree.done(config, jobs=[killed, call(config, slurm_job_id="78", train_files=files)])
    tree.metrics()
    write_json(tree.folder / "tracking.json", {"uri": "sqlite:///x.db", "runs": {GRPO: "f00d"}})
    return tree, config


def test_a_run_leads_back_to_all_that_made_it(trained, bupo):
    _, config = trained
    facts = one(bupo, "grpo")["training"]
    assert facts["identity"] == config_sha256(config)
    assert facts["trained as config.yaml says"] is True
    assert (facts["commit"], facts["versions"]) == ("abc123", {"torch": "2.11.0"})
    assert [job["slurm_job_id"] for job in facts["jobs"]] == ["77", "78"]
    assert facts["GPU-hours"] == 8 * 0.5 + 8 * 1.0
    assert [job["GPU-hours"] for job in facts["jobs"]] == [4.0, 8.0]
    assert facts["MLflow run"] == "f00d"
    (file,) = facts["training files"]
    assert (file["file"], file["now"]) == (TABLE, "the same")


def test_what_changed_since_is_told(trained, bupo):
    tree, _ = trained
    tree.config(lr=2e-4, gpus=8)
    write_text(tree.root / TABLE, "others")
    facts = one(bupo, GRPO)["training"]
    assert facts["trained as config.yaml says"] is False
    (file,) = facts["training files"]
    assert file["now"] == f"another file ({sha256(b'others').hexdigest()})"


def test_what_was_not_recorded_is_said_to_be_so(tree, bupo):
    tree.done(tree.config())
    facts = one(bupo, GRPO)
    training = facts["training"]
    for key in ("commit", "versions", "jobs", "MLflow run"):
        assert training[key] == "not recorded", key
    assert training["GPU-hours"] == 0  # known: it was trained on the CPU
    assert training["layer"] is None  # known: it has none
    assert facts["training set"]["source"] == "not recorded"
    assert facts["model before training"]["sha256"] == "not recorded"
    said = bupo("why", GRPO)[1]
    assert "  commit: not recorded" in said and "  layer: none" in said


def test_gpu_hours_of_a_run_without_records_are_of_its_last_call(tree, bupo):
    tree.done(tree.config(gpus=4), wall_s=7200.0)
    facts = one(bupo, GRPO)["training"]
    assert (facts["GPU-hours"], facts["GPU-hours are of"]) == (8.0, "the last call")


def test_a_run_that_is_not_done_is_known_too(tree, bupo):
    config = tree.config()
    tree.jobs([call(config, ended=None, outcome=None)])
    facts = one(bupo, GRPO)["training"]
    assert (facts["status"], facts["identity"]) == ("not done", config_sha256(config))
    assert facts["jobs"][0]["GPU-hours"] == "not recorded"


@pytest.mark.parametrize(
    ("path", "kind", "run", "model", "name"),
    [
        (f"runs/{GRPO}/model/model.safetensors", "run", GRPO, MODEL, None),
        (f"runs/{GRPO}", "run", GRPO, MODEL, None),
        (f"evaluation/{BASE}/arithmetic_easy/scores.parquet", "evaluation", BASE, MODEL, "arithmetic_easy"),
        (f"entropy/{MODEL}/figures/x.svg", "analysis", None, MODEL, None),
        (f"entropy/{BUPO}/step-000004/statistics.parquet", "flow", BUPO, MODEL, None),
        (f"models/{MODEL}/model.json", "model", None, MODEL, None),
        ("data/arithmetic.json", "data", None, None, "arithmetic"),
        (f"data/verl/{MODEL}/arithmetic.parquet", "data", None, MODEL, "arithmetic"),
        ("data/contamination.json", "experiment", None, None, None),
        ("report/tables/scores.csv", "report", None, None, None),
        (f"report/figures/pass-at-k-{MODEL}-arithmetic_hard.svg", "report", None, MODEL, "arithmetic_hard"),
        ("summary.json", "report", None, None, None),
        ("experiment.yaml", "experiment", None, None, None),
    ],
)
def test_every_path_is_something(tree, path, kind, run, model, name):
    file = tree.folder / path
    if not file.exists():
        write_text(file, "x") if file.suffix else file.mkdir(parents=True)
    found = subject_of(file)
    assert (found.kind, found.run, found.model, found.name) == (kind, run, model, name)
    assert str(found.folder) == "results/demo" and str(found.path) == f"results/demo/{path}"


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        (f"figures/training-reward-{MODEL}.svg", f"runs/{MODEL}/*/seed*/metrics.jsonl"),
        (f"figures/training-no-box-{MODEL}.png", f"runs/{MODEL}/*/seed*/metrics.jsonl"),
        (f"figures/flow-kl-k3-raw-{MODEL}.svg", f"entropy/{MODEL}/*/seed*/flow.parquet"),
        (f"figures/entropy-change-raw-{MODEL}.svg", f"entropy/{MODEL}/statistics.parquet"),
        ("figures/entropy-families-raw.svg", "entropy/*/statistics.parquet"),
        (
            f"figures/pass-at-k-{MODEL}-arithmetic_hard.svg",
            f"evaluation/{MODEL}/*/seed*/arithmetic_hard/scores.parquet",
        ),
        ("tables/training_rows.csv", "data/verl/*/*.json"),
        ("tables/variance.csv", "evaluation/*/*/seed*/*/scores.parquet"),
        ("tables/grader_disagreements.csv", "evaluation/*/*/seed*/*/disagreements.csv"),
        ("tables/provenance.csv", "**/*.json"),
        ("tables/training.csv", "runs/*/*/seed*/metrics.jsonl"),
        ("index.html", None),
    ],
)
def test_a_figure_and_a_table_say_what_they_are_made_of(tree, name, sources):
    write_text(tree.folder / "report" / name, "x")
    assert subject_of(tree.folder / "report" / name).sources == sources


def test_a_number_of_the_evaluation(trained, bupo):
    tree, _ = trained
    table = tree.folder / f"data/verl/{MODEL}/arithmetic_easy.parquet"
    write_text(table, "rows")
    tree.evaluation(GRPO, benchmark_sha256=sha256_file(table), sampling_sha256="5a")
    output = f"results/demo/evaluation/{GRPO}/arithmetic_easy/summary.json"
    tree.mark(output, {"rule": "evaluate", "starttime": 1e9, "endtime": 1e9 + 60}, kind="metadata")
    log = tree.folder / f"logs/evaluation/{GRPO}/arithmetic_easy.log"
    write_text(log, f"[slurm] job 90 on node1\n[slurm] job 91 on node2\n[commit] c0ffee\nsampling\n{HOUR}")
    facts = one(bupo, output)
    assert facts["evaluation"]["benchmark"]["now"] == "the same"
    assert facts["evaluation"]["sampling_sha256"] == "5a"
    assert facts["evaluation"]["jobs"] == [
        {
            "log": str(log.relative_to(tree.root)),
            "Slurm job": "91 on node2",
            "commit": "c0ffee",
            "GPU-hours": 2.0,
        }
    ]
    assert (facts["evaluation"]["commit"], facts["evaluation"]["GPU-hours"]) == ("c0ffee", 2.0)
    assert facts["evaluation"]["made"]["rule"] == "evaluate"
    assert facts["training"]["commit"] == "abc123"
    assert facts["cell"]["method"] == "grpo"


@pytest.mark.parametrize("place", [MODEL, f"{GRPO}/step-000004"])
def test_an_entropy_analysis_leads_to_the_files_that_it_read(tree, bupo, place):
    problems = tree.folder / f"data/verl/{MODEL}/arithmetic_easy.parquet"
    write_text(problems, "rows")
    boundary = tree.folder / f"entropy/{place}/boundary.json"
    write_json(boundary, {"problem_files": ["arithmetic_easy.parquet"]})
    assert one(bupo, boundary)["analysis"]["inputs as they are now"] == {
        f"spec/entropy/{MODEL}.yaml": "not there",
        f"data/verl/{MODEL}/arithmetic_easy.parquet": sha256_file(problems),
    }


def test_a_model_file_beside_its_recorded_hash(trained, bupo):
    tree, config = trained
    model = tree.folder / f"runs/{GRPO}/model/model.safetensors"
    write_text(model, "weights")
    files = {"model/model.safetensors": sha256_file(model)}
    write_json(model.parents[1] / "done.json", {"config_sha256": config_sha256(config), "files": files})
    assert one(bupo, model)["now"] == "the same"
    write_text(model, "other weights")
    assert one(bupo, model)["now"].startswith("another file (")


def test_a_figure_leads_to_the_runs_behind_it(trained, bupo):
    tree, _ = trained
    told = 'stage,subject,what,value\nreport,all of it,commit,4711\nreport,all of it,versions,"python 3.11.7, torch 2"\n'
    write_text(tree.folder / "report/tables/provenance.csv", told)
    figure = tree.folder / f"report/figures/training-reward-{MODEL}.svg"
    write_text(figure, "<svg/>")
    facts = one(bupo, figure)
    assert facts["report"]["commit"] == "4711" and facts["report"]["versions"] == "python 3.11.7, torch 2"
    assert [(row["run"], row["Slurm jobs"]) for row in facts["runs"]] == [
        (GRPO, ["77", "78"]),
        (BUPO, "not recorded"),
    ]
    assert facts["GPU-hours of the trainings"] == "12 of 1 run, not recorded of 1 run"
    assert "77; 78" in bupo("why", figure)[1]


@pytest.mark.parametrize("name", ["grpo", "grpo/seed1", f"{MODEL}/grpo", GRPO, "f00d"])
def test_a_cell_has_several_names(trained, bupo, name):
    assert one(bupo, name)["training"]["MLflow run"] == "f00d"


def test_a_name_of_several_runs_tells_of_each(tree, bupo):
    tree.experiment["cells"].append({**tree.experiment["cells"][0], "seed": 2})
    write_json(tree.folder / "experiment.yaml", tree.experiment)
    assert [facts["cell"]["seed"] for facts in why(bupo, "grpo")] == [1, 2]
    assert one(bupo, "grpo/seed2")["cell"]["seed"] == 2


def test_what_is_nothing_is_told(tree, bupo):
    with pytest.raises(UserError, match="'nothing' is neither a path nor a cell"):
        bupo("why", "nothing")
    with pytest.raises(UserError, match="is not below the folder of an experiment"):
        bupo("why", "configs")


def test_snakemakes_records_of_long_names_are_found(tree, bupo):
    long = f"{MODEL}/bupo-{'k5-' * 60}s4/seed1"
    tree.evaluation(long)
    output = f"results/demo/evaluation/{long}/arithmetic_easy/summary.json"
    tree.mark(output, {"rule": "evaluate", "starttime": 1.0, "endtime": 2.0}, kind="metadata")
    assert one(bupo, output)["evaluation"]["made"]["rule"] == "evaluate"

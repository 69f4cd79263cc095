"""What a run ends with: where the results are, and the address at which the cells stand beside each other."""

import re
import sys
from pathlib import Path

import pytest

from bupo.errors import UserError
from bupo.experiment.where import where
from bupo.files import write_json
from bupo.tracking.view import KEY


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A finished experiment, with its runs in a store."""
    monkeypatch.chdir(tmp_path)

    def make(uri, experiment_id="3", results="results"):
        folder = Path(results) / "demo"
        (folder / "report").mkdir(parents=True)
        (folder / "report/index.html").write_text("")
        parts = {"parent_run_id": "p", "runs": {}, "parameters": {}, "benchmarks": []}
        write_json(folder / "tracking.json", {"uri": uri, "experiment_id": experiment_id, **parts})

    return make


def test_the_addresses_are_those_of_this_experiment(made, tmp_path):
    made("sqlite:///results/mlflow/mlflow.db")
    told = where("demo", "results")
    assert (tmp_path / "results/demo/report/index.html").as_uri() in told
    assert f"{sys.executable} -m bupo.tracking serve\n" in told
    assert f"http://127.0.0.1:5000/#/experiments/3/runs?viewStateShareKey={KEY}" in told


def test_another_folder_of_results_has_a_store_of_its_own(made):
    made("sqlite:///elsewhere/mlflow/mlflow.db", results="elsewhere")
    assert "bupo.tracking serve --store sqlite:///elsewhere/mlflow/mlflow.db\n" in where("demo", "elsewhere")


def test_a_server_needs_no_other(made):
    made("http://127.0.0.1:5050/")
    told = where("demo", "results")
    assert "http://127.0.0.1:5050/#/experiments/3/runs" in told and "bupo.tracking" not in told


def test_nothing_is_said_of_an_mlflow_that_was_away(made):
    made("http://127.0.0.1:5050", experiment_id="")
    assert "MLflow" not in where("demo", "results")


def test_an_interpreter_of_the_folder_is_named_as_one_types_it(made, tmp_path, monkeypatch):
    made("sqlite:///results/mlflow/mlflow.db")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert "MLflow:       .venv/bin/python -m" in where("demo", "results")


def test_before_the_report_one_sentence_says_what_makes_it(made):
    with pytest.raises(UserError, match=r"index\.html does not exist; snakemake .*experiment=other makes it"):
        where("other", "results")


def test_the_readme_shows_these_lines(made, root, tmp_path, monkeypatch):
    made("sqlite:///results/mlflow/mlflow.db", experiment_id="1")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    readme = (root / "README.md").read_text(encoding="utf-8").splitlines()
    for line in where("demo", "results").splitlines()[1:]:
        # addresses are cut short there
        start = re.split(r"/results/demo|\?view", line)[0].replace(tmp_path.as_posix(), "/…")
        assert any(shown.startswith(start) for shown in readme), line

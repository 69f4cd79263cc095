"""What a plan leaves for its jobs, while nothing, another call or this one runs the experiment."""

import json
import shutil
import sys

import pytest

from bupo.errors import UserError
from bupo.experiment import plan as plans
from bupo.experiment.configure import configure
from bupo.experiment.resolve import planned, resolve
from bupo.experiment.start import PLAN, hold, saved_plan
from bupo.files import exclusive, read_yaml

DEMO = {"experiment": "demo"}
OTHER = {**DEMO, "overrides": ["training.steps=13"]}
SPEC = "results/demo/spec/runs/tiny_qwen3/grpo/seed1.yaml"


@pytest.fixture
def project(project, monkeypatch):
    """The same; what a test holds is let go of at its end."""
    monkeypatch.setattr(plans, "_HELD", [])
    monkeypatch.delenv(PLAN, raising=False)
    return project


@pytest.fixture
def running(project):
    """The demo, while another process runs it."""
    resolve(DEMO, project / "configs")
    with exclusive(project / "results/demo/.lock", wait=False):
        yield project


def files(project):
    """All that is below results/, with when it was written."""
    paths = (path for path in (project / "results").rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def edit(project, path, old, new):
    file = project / "configs" / path
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def test_nothing_is_written_of_an_experiment_that_runs(running):
    before = files(running)
    with pytest.raises(UserError) as error:
        resolve(OTHER, running / "configs")
    assert "another process is running the experiment demo with other settings" in str(error.value)
    assert SPEC.replace("seed1.yaml", "") in str(error.value) and "\n" not in str(error.value)
    assert files(running) == before


def test_the_same_settings_are_planned_while_it_runs(running):
    before = files(running)
    edit(running, "experiment/demo.yaml", "# seeds the data", "# this seeds the data")
    edit(running, "cell.yaml", "defaults:", "# a comment\ndefaults:")
    plan = resolve(DEMO, running / "configs")
    assert len(plan.cells) == 3 and files(running) == before


def test_what_is_only_measured_beside_it_is_not_written_either(running):
    before = files(running)
    edit(running, "cell.yaml", "observe: {responses: 64", "observe: {responses: 32")
    with pytest.raises(UserError, match=r"spec/composed/tiny_qwen3/grpo\.json would change"):
        resolve(DEMO, running / "configs")
    assert files(running) == before


def test_another_experiment_is_free(running):
    resolve({"experiment": "paper_entropy"}, running / "configs")
    assert (running / "results/paper_entropy/experiment.yaml").is_file()


def test_cells_are_configured_as_they_were_planned(project):
    resolve(DEMO, project / "configs")
    (project / "model.json").write_text(json.dumps({"path": "m", "sha256": {}}))

    def configured(name):
        arguments = (project / SPEC, project / "model.json", None, project / "results/demo/spec/composed")
        configure(*arguments, project / name)
        return read_yaml(project / name)

    before = configured("before.yaml")
    shutil.rmtree(project / "configs")
    assert configured("after.yaml") == before


def test_jobs_run_by_the_plan_of_the_process_that_started_them(project):
    plan = resolve(DEMO, project / "configs")
    hold(plan)
    (project / "configs/experiment/demo.yaml").write_text("models: {train: [")
    found = saved_plan()
    assert found == plan and [cell.run for cell in found.cells] == [cell.run for cell in plan.cells]
    assert found.resources.by_job("train").keys() == plan.resources.by_job("train").keys()


def test_a_job_without_a_plan_is_told(project):
    with pytest.raises(UserError, match=r"BUPO_PLAN = None should name the plan"):
        saved_plan()


def test_what_another_call_planned_meanwhile_is_not_run(project):
    plan = resolve(DEMO, project / "configs")
    resolve(OTHER, project / "configs")
    with pytest.raises(UserError, match=r"the settings of demo changed while its jobs were planned"):
        hold(plan)
    assert not (project / "results/demo/plan.json").exists()


def test_a_path_with_a_space_is_refused_where_jobs_are_submitted(project, monkeypatch):
    plan = resolve(DEMO, project / "configs")
    monkeypatch.setattr(sys, "executable", "/a folder/bin/python")
    with pytest.raises(UserError, match=r"/a folder/bin/python: Snakemake's commands for the nodes"):
        hold(plan, on_nodes=True)
    hold(plan)


def test_an_experiment_that_runs_is_not_held_twice(running):
    with pytest.raises(UserError, match=r"another process is running the experiment demo; wait for it"):
        hold(planned(DEMO, running / "configs"))

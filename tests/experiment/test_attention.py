"""Whether what the jobs run in has the attention that the engine asks for, before they wait for GPUs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import Checkout, copy_of

from bupo.console import check_software
from bupo.errors import UserError
from bupo.experiment import attention
from bupo.experiment.attention import KEY, attention_of, check_attention
from bupo.experiment.resolve import plan_of

CONFIGS = Path("configs")
SHORT = "data.max_response_length=48"


@pytest.fixture
def jobs_python(tmp_path, root, monkeypatch):
    """A folder of an environment, whose python can be told to have a package."""
    for part in ("configs", "envs"):
        shutil.copytree(root / part, tmp_path / part)
    monkeypatch.chdir(tmp_path)
    programs = tmp_path / "environment/bin"
    programs.mkdir(parents=True)

    def put(package=None):
        python = programs / "python"
        path = programs / "packages"
        if package:
            (path / package).mkdir(parents=True)
            (path / package / "__init__.py").write_text("")
        python.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        return "environment"

    return put


def planned(*overrides, engine="gpu", environment="auto", container=""):
    changes = [f"training.engine={engine}", f"training.overrides=[{','.join((SHORT, *overrides))}]"]
    return plan_of("demo", changes, CONFIGS, environment=environment, container=container)


def test_pytorchs_attention_needs_nothing(jobs_python):
    sdpa = (f"{KEY}=sdpa", "actor_rollout_ref.model.use_remove_padding=false")
    for plan in (planned(engine="cpu"), planned(*sdpa, environment=jobs_python())):
        assert attention_of(plan, CONFIGS) is None
        check_attention(plan, CONFIGS)


def test_an_override_counts_before_the_engine(jobs_python):
    whole = "'actor_rollout_ref.model.override_config={attn_implementation: flash_attention_3}'"
    for overrides, package in (((whole,), "flash_attn_interface"), ((), "flash_attn")):
        assert attention_of(planned(*overrides, environment=jobs_python()), CONFIGS).package == package


def test_a_training_that_could_not_begin_is_refused_in_one_sentence(jobs_python):
    with pytest.raises(UserError) as error:
        check_attention(planned(environment=jobs_python()), CONFIGS)
    said = str(error.value)
    assert said.startswith(
        f"configs/engine/gpu.yaml: {KEY} = 'flash_attention_2' needs the package flash_attn, "
    )
    assert "No module named 'flash_attn'" in said and said.endswith(" would be right.")
    assert "environment/bin/python -m pip install flash-attn --no-build-isolation" in said
    assert f"{KEY}=sdpa" in said
    check_attention(planned(environment=jobs_python("flash_attn")), CONFIGS)


def test_a_container_is_not_looked_into(jobs_python):
    check_attention(planned(environment=jobs_python(), container="image.sif"), CONFIGS)


def test_a_disk_that_is_slow_is_no_reason(jobs_python, monkeypatch):
    plan = planned(environment=jobs_python())

    def slow(command, **_):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(attention.subprocess, "run", slow)
    check_attention(plan, CONFIGS)


@pytest.mark.parametrize(("package", "status"), [(None, "failed"), ("flash_attn", "ok")])
def test_the_doctor_looks_as_well(jobs_python, package, status):
    (check,) = check_software.attention(planned(environment=jobs_python(package)), CONFIGS)
    assert (check.name, check.status) == ("attention", status)
    assert ("pip install flash-attn" in check.remedy) == (status == "failed")


def test_an_environment_that_is_not_made_yet_cannot_be_looked_into(jobs_python):
    (check,) = check_software.attention(planned(), CONFIGS)
    assert check.status == "not checked"
    assert check.remedy.startswith("snakemake --cores 1 environment makes it; then ")
    assert check_software.attention(planned(engine="cpu"), CONFIGS) == []


def test_snakemake_refuses_the_grid_and_not_what_trains_nothing(root, tmp_path):
    copy_of(root, tmp_path)
    changes = f"overrides=['training.engine=gpu','training.overrides=[{SHORT}]']"
    folder = Checkout(tmp_path, ("--cores", "1", "--config", "environment=here", changes))
    ends = folder.run()
    assert ends.returncode == 2 and "error: configs/engine/gpu.yaml: " in ends.stdout, ends.stdout[-2000:]
    assert not (tmp_path / "results/demo/data").exists()
    ends = folder.run("--", "results/demo/data/arithmetic.json")
    assert ends.returncode == 0, ends.stdout[-2000:]


def test_a_lock_that_is_not_there_is_told(jobs_python):
    Path("envs/gpu.lock").unlink()
    (check,) = check_software.attention(planned(), CONFIGS)
    assert (check.status, check.remedy) == ("failed", "run it in the project's folder")
    assert "gpu.lock cannot be read" in check.found

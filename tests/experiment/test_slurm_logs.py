"""Which of Slurm's logs the executor deletes at its end."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

DAY_S = 86400


@pytest.fixture
def logs(made, tmp_path):
    """An executor with logs that are 9 and 11 days old, and a folder for that of a job that waits."""
    executor, _ = made
    executor.slurm_logdir = tmp_path / "slurm_logs"
    executor.workflow.executor_settings = SimpleNamespace(
        keep_successful_logs=False, delete_logfiles_older_than=10
    )
    (executor.slurm_logdir / "rule_train/cell_1").mkdir(parents=True)
    for name, days in ("12", 9), ("13", 11), ("14_2", 11), ("15", 11):
        log = executor.slurm_logdir / f"rule_sample/{name}.log"
        log.parent.mkdir(exist_ok=True)
        log.touch()
        os.utime(log, (time.time() - days * DAY_S,) * 2)
    return executor


def left(executor):
    return sorted(path.stem for path in executor.slurm_logdir.rglob("*.log"))


def test_old_logs_of_jobs_that_are_over_are_deleted(logs, slurm, tmp_path):
    slurm("squeue", f"echo asked >> {tmp_path}/asked; echo 14_2")
    for _ in range(2):
        logs.clean_old_logs()
    assert left(logs) == ["12", "14_2"]
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_the_folder_of_a_log_that_is_yet_to_come_stays(logs, slurm):
    slurm("squeue", "")
    logs.clean_old_logs()
    assert Path(logs.slurm_logdir / "rule_train/cell_1").is_dir()


def test_where_slurm_does_not_say_which_jobs_go_on_logs_stay(logs, slurm, monkeypatch):
    monkeypatch.setattr("snakemake_executor_plugin_slurm_resume.records.ATTEMPTS", 1)
    slurm("squeue", "exit 1")
    logs.clean_old_logs()
    assert left(logs) == ["12", "13", "14_2", "15"]


@pytest.mark.parametrize(
    ("setting", "value"), [("keep_successful_logs", True), ("delete_logfiles_older_than", 0)]
)
def test_logs_that_are_to_be_kept_are(logs, slurm, setting, value):
    slurm("squeue", "")
    setattr(logs.workflow.executor_settings, setting, value)
    logs.clean_old_logs()
    assert len(left(logs)) == 4

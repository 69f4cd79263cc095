"""How the executor for Slurm submits and cancels, with stand-ins for Slurm's commands and Snakemake's jobs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_stand_ins import followed, job
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from snakemake_executor_plugin_slurm_resume import ExecutorSettings


def test_arrays_have_jobs_of_the_same_resources_and_a_bounded_length(made):
    executor, did = made
    small = [job(number, mem_mb=1) for number in range(5)]
    large = [job(number, mem_mb=2) for number in (10, 11)]
    others = [job(20, rule="train"), job(21, rule="train"), job(22, mem_mb=3)]
    executor.run_jobs([*small, *large, *others])
    assert did.arrays == [[0, 1, 2], [3, 4], [10, 11]]
    assert did.submitted == [20, 21, 22]


@pytest.mark.parametrize(("prefix", "name"), [("", "bupo-"), ("mine", "mine_bupo-")])
def test_jobs_are_named_after_the_folder(made, monkeypatch, slurm, prefix, name):
    executor, _ = made
    slurm("sinfo", "")
    monkeypatch.setattr(SlurmExecutor, "__post_init__", lambda self, test_mode: None)
    executor.workflow.workdir_init, executor.workflow.executor_settings.jobname_prefix = Path.cwd(), prefix
    executor.__post_init__()
    assert re.fullmatch(f"{name}[0-9a-f]{{12}}", executor.run_uuid)
    assert executor.watch.name == executor.run_uuid


@pytest.mark.parametrize(("setting", "value"), [("status_command", "sacct"), ("status_attempts", 3)])
def test_a_setting_that_would_be_ignored_is_refused(setting, value):
    assert getattr(ExecutorSettings(), setting) is None
    with pytest.raises(
        WorkflowError, match=f"^--slurm-resume-{setting.replace('_', '-')} should be left out"
    ):
        ExecutorSettings(**{setting: value})


@pytest.mark.parametrize(("job_id", "log"), [("12", "x/12.log"), ("12_3", "12_3.log")])
def test_the_log_is_where_slurm_writes_it(made, job_id, log):
    executor, _ = made
    assert followed(executor, job(1), job_id).aux == {"slurm_logfile": Path("logs/rule_sample") / log}


def test_ctrl_c_cancels_what_is_just_being_submitted_or_looked_at(made, monkeypatch):
    executor, _ = made
    cancelled = []
    monkeypatch.setattr(SlurmExecutor, "cancel_jobs", lambda self, jobs: cancelled.extend(jobs))
    monkeypatch.setattr(RemoteExecutor, "cancel", lambda self: self.cancel_jobs([]))

    class Pool:
        """One job is being submitted when Ctrl-C comes."""

        def shutdown(self, wait, cancel_futures):
            assert executor.cancelled.is_set() and wait and cancel_futures
            followed(executor, job(2), "13")

    executor._job_submission_executor = Pool()
    followed(executor, job(1), "12")
    executor.cancel()
    assert [info.external_jobid for info in cancelled] == ["12", "13"]
    assert not executor.records.any, "the next call does not wait for them"


def test_where_snakemakes_executor_is_missing_the_plugin_is_there_and_says_so(tmp_path):
    program = """
import sys
sys.modules["snakemake_executor_plugin_slurm"] = None
from importlib import util
find, util.find_spec = util.find_spec, lambda name: None if name == "snakemake_executor_plugin_slurm" else find(name)
import snakemake_executor_plugin_slurm_resume as plugin
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
registry = object.__new__(ExecutorPluginRegistry)
registry.plugins = {}
registry.register_plugin("snakemake_executor_plugin_slurm_resume", plugin)
try:
    registry.plugins["slurm-resume"].executor(None, None)
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("snakemake-executor-plugin-slurm is not installed"), done.stderr

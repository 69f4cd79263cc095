"""How the executor for Slurm submits and cancels, with stand-ins for Slurm's commands and Snakemake's jobs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_stand_ins import LOG, job
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from snakemake_executor_plugin_slurm_resume import ExecutorSettings
from snakemake_executor_plugin_slurm_resume import executor as module


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


def test_the_log_of_an_arrays_task_is_where_slurm_writes_it(made):
    executor, _ = made
    info = SubmittedJobInfo(job(1), "12_3", {"slurm_logfile": Path("logs/rule_sample/x/12_3.log")})
    executor.report_job_submission(info)
    assert executor.records.read("sample/1").log == "logs/rule_sample/12_3.log"


@pytest.fixture
def refusing(made, monkeypatch):
    """An executor whose Slurm takes no submission before one of this number; what was tried, and what failed."""
    executor, did = made
    did.tries, did.taken = [], module.SUBMISSIONS + 1

    def submit(self, jobs):
        did.tries.append([each.jobid for each in jobs])
        for refused in jobs if len(did.tries) < did.taken else ():
            self._report_job_error_threadsafe(SubmittedJobInfo(refused), "sbatch failed.\nlong")

    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(SlurmExecutor, "run_array_jobs", submit)
    monkeypatch.setattr(SlurmExecutor, "run_job", lambda self, job: submit(self, [job]))
    monkeypatch.setattr(
        SlurmExecutor,
        "_report_job_error_threadsafe",
        lambda self, info, msg: did.followed.append((info.job.jobid, msg)),
    )
    return executor, did


def test_a_submission_is_tried_again_before_it_is_a_failure(refusing):
    executor, did = refusing
    executor.run_job(job(1))
    assert did.tries == [[1]] * module.SUBMISSIONS and did.followed == [(1, "sbatch failed.\nlong")]


def test_an_array_that_is_refused_is_tried_again_as_one(refusing):
    executor, did = refusing
    did.taken = 3
    executor.run_array_jobs([job(1), job(2)])
    assert did.tries == [[1, 2]] * 3 and did.followed == []
    assert executor.logger.said[-1].startswith(
        "Slurm did not take jobs 1, 2; they are submitted again. sbatch"
    )


def test_after_ctrl_c_nothing_is_submitted_again(refusing):
    executor, did = refusing
    executor.cancelled = True
    executor.run_array_jobs([job(1), job(2)])
    assert did.tries == [[1, 2]] and [number for number, _ in did.followed] == [1, 2]


def test_ctrl_c_cancels_what_is_just_being_submitted_or_looked_at(made, monkeypatch):
    executor, _ = made
    cancelled = []
    monkeypatch.setattr(SlurmExecutor, "cancel_jobs", lambda self, jobs: cancelled.extend(jobs))
    monkeypatch.setattr(RemoteExecutor, "cancel", lambda self: self.cancel_jobs([]))

    class Pool:
        """One job is being submitted when Ctrl-C comes."""

        def shutdown(self, wait, cancel_futures):
            assert executor.cancelled and wait and cancel_futures
            executor.report_job_submission(SubmittedJobInfo(job(2), "13", {"slurm_logfile": LOG}))

    executor._job_submission_executor = Pool()
    executor.report_job_submission(SubmittedJobInfo(job(1), "12", {"slurm_logfile": LOG}))
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

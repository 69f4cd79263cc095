"""The executor for Slurm, with stand-ins for Slurm's commands and Snakemake's jobs."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from snakemake_executor_plugin_slurm_resume import executor as module
from snakemake_executor_plugin_slurm_resume.executor import Executor
from snakemake_executor_plugin_slurm_resume.records import Records, in_queue

LOG = Path("logs/rule_sample/x/7.log")


class File(str):
    flags = {}


class Old(File):
    flags = {"ancient": True}


class Job(SimpleNamespace):
    """As much of a job of Snakemake's as the executor looks at."""

    __hash__ = object.__hash__

    def is_group(self):
        return False


def job(number, rule="sample", inputs=(), command="make", **resources):
    return Job(
        jobid=number,
        rule=SimpleNamespace(name=rule),
        output=[f"{rule}/{number}"],
        input=list(inputs),
        shellcmd=command,
        resources=resources,
    )


class Log:
    """A logger that keeps what is told."""

    def __init__(self):
        self.said = []

    def info(self, text):
        self.said.append(text)

    warning = info


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder for stand-ins of Slurm's commands, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def command(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return command


@pytest.fixture
def made(tmp_path, monkeypatch, slurm):
    """An executor in an empty folder, and what it submits, registers and cancels."""
    monkeypatch.chdir(tmp_path)
    executor = object.__new__(Executor)
    did = SimpleNamespace(submitted=[], arrays=[], followed=[], cancelled=[])
    executor.__dict__.update(
        records=Records(tmp_path),
        left=set(),
        submitted={},
        refused=threading.local(),
        cancelled=False,
        forgotten_soon=False,
        array_jobs={"sample"},
        max_array_size=3,
        time_limits=SimpleNamespace(bound=lambda job: None),
        logger=Log(),
        run_job_pre=lambda job: None,
        _submit_job=lambda job: did.submitted.append(job.jobid),
        _submit_array_jobs=lambda jobs: did.arrays.append([job.jobid for job in jobs]),
    )
    monkeypatch.setattr(
        SlurmExecutor,
        "report_job_submission",
        lambda self, info, register_job=True: did.followed.append((info.job.jobid, info.external_jobid)),
    )
    monkeypatch.setattr(
        SlurmExecutor, "report_job_error", lambda self, info, msg=None: did.followed.append(msg)
    )
    monkeypatch.setattr(SlurmExecutor, "report_job_success", lambda self, info: None)
    slurm("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    return executor, did


def again(executor, *ids):
    """The executor of the next call, which finds these jobs in the queue."""
    executor.submitted, executor.left = {}, set(ids)


def test_a_job_that_is_in_the_queue_is_waited_for_and_not_submitted(made):
    executor, did = made
    executor.report_job_submission(SubmittedJobInfo(job(1), "12", {"slurm_logfile": LOG}))
    again(executor, "12")
    executor.run_jobs([job(1), job(2, rule="train")])
    assert did.followed == [(1, "12"), (1, "12")] and did.submitted == [2]
    assert "is in Slurm's queue already, as job 12" in executor.logger.said[-1]


def test_a_job_that_is_over_is_submitted(made):
    executor, did = made
    executor.report_job_submission(SubmittedJobInfo(job(1), "12", {"slurm_logfile": LOG}))
    again(executor, "13")
    executor.run_jobs([job(1)])
    assert did.submitted == [1]


def test_a_job_that_failed_is_submitted_though_its_number_may_still_be_listed(made):
    executor, did = made
    first = job(1)
    executor.report_job_submission(SubmittedJobInfo(first, "12", {"slurm_logfile": LOG}))
    executor.report_job_error(SubmittedJobInfo(first, "12", {}), "failed")
    again(executor, "12")
    executor.run_jobs([first])
    assert did.submitted == [1]


@pytest.mark.parametrize("change", ["command", "input", "input that is gone"])
def test_a_job_for_something_else_is_cancelled_and_submitted_anew(made, tmp_path, change):
    executor, did = made
    file = tmp_path / "config.yaml"
    file.write_text("old")
    executor.report_job_submission(
        SubmittedJobInfo(job(1, inputs=[File(file)]), "12", {"slurm_logfile": LOG})
    )
    again(executor, "12")
    if change == "input":
        os.utime(file, (time.time() + 9, time.time() + 9))
    elif change == "input that is gone":
        file.unlink()
    executor.run_jobs([job(1, inputs=[File(file)], command="other" if change == "command" else "make")])
    assert did.submitted == [1]
    assert (tmp_path / "cancelled").read_text() == "12\n"


def test_a_newer_input_that_never_counts_does_not_count_here(made, tmp_path):
    executor, did = made
    file = tmp_path / "tracking.json"
    file.write_text("old")
    executor.report_job_submission(SubmittedJobInfo(job(1, inputs=[Old(file)]), "12", {"slurm_logfile": LOG}))
    again(executor, "12")
    os.utime(file, (time.time() + 9, time.time() + 9))
    executor.run_jobs([job(1, inputs=[Old(file)])])
    assert did.submitted == []


def test_arrays_have_jobs_of_the_same_resources_and_a_bounded_length(made):
    executor, did = made
    small = [job(number, mem_mb=1) for number in range(5)]
    large = [job(number, mem_mb=2) for number in (10, 11)]
    others = [job(20, rule="train"), job(21, rule="train"), job(22, mem_mb=3)]
    executor.run_jobs([*small, *large, *others])
    assert did.arrays == [[0, 1, 2], [3, 4], [10, 11]]
    assert did.submitted == [20, 21, 22]


def test_without_squeue_there_are_no_arrays(made):
    executor, did = made
    executor.forgotten_soon = True
    assert executor.get_status_command() == "sacct"
    executor.run_jobs([job(1), job(2)])
    assert (did.arrays, did.submitted) == ([], [1, 2])


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
        did.tries.append([job.jobid for job in jobs])
        for job in jobs if len(did.tries) < did.taken else ():
            self._report_job_error_threadsafe(SubmittedJobInfo(job), "sbatch failed.\nlong")

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
    assert executor.logger.said[-1].endswith("submitted again: 1, 2. sbatch failed.")


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


def test_the_queue_is_asked_for_each_task_of_the_folders_jobs(slurm, tmp_path):
    slurm("squeue", f'echo "$@" > {tmp_path}/asked; echo 12_1; echo 13')
    assert in_queue("bupo-1") == {"12_1", "13"}
    assert (tmp_path / "asked").read_text() == "--name bupo-1 --noheader --array --format=%i\n"


def test_a_queue_that_does_not_answer_is_told(slurm):
    slurm("squeue", "echo no controller >&2; exit 1")
    with pytest.raises(OSError, match=r"left: no controller$"):
        in_queue("bupo-1", pause=lambda seconds: None)


def test_a_record_that_is_broken_is_none(tmp_path):
    records = Records(tmp_path)
    assert not records.any and records.read("x") is None
    records.write("x", "12", "log", "make")
    assert records.any and records.read("x").job_id == "12"
    next(records.folder.iterdir()).write_text("{")
    assert records.read("x") is None


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

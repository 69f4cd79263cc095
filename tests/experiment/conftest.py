"""The executor for Slurm, with stand-ins for Slurm's commands and Snakemake."""

import os
import stat
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from slurm_stand_ins import Log
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor

from snakemake_executor_plugin_slurm_resume.executor import Executor
from snakemake_executor_plugin_slurm_resume.records import Queue, Records
from snakemake_executor_plugin_slurm_resume.refusals import Telling
from snakemake_executor_plugin_slurm_resume.watch import Watch


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
    executor, log = object.__new__(Executor), Log()
    did = SimpleNamespace(submitted=[], arrays=[], followed=[], cancelled=[], succeeded=[])
    did.reason = SimpleNamespace(missing_output=set(), forced=False)
    executor.__dict__.update(
        records=Records(tmp_path),
        left=Queue(),
        looked=time.monotonic(),
        run_uuid="bupo-1",
        submitted={},
        cancelled=threading.Event(),
        telling=Telling(log),
        slurm_logdir=Path("logs"),
        watch=Watch("bupo-1", log),
        status_rate_limiter=nullcontext(),
        _next_seconds_between_status_checks=None,
        array_jobs={"sample"},
        max_array_size=3,
        time_limits=SimpleNamespace(bound=lambda job: None),
        logger=log,
        workflow=SimpleNamespace(
            dag=SimpleNamespace(reason=lambda job: did.reason),
            executor_settings=SimpleNamespace(
                init_seconds_before_status_checks=2, keep_successful_logs=False
            ),
            remote_execution_settings=SimpleNamespace(seconds_between_status_checks=60),
        ),
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
        SlurmExecutor, "report_job_error", lambda self, info, msg=None, **_: did.followed.append(msg)
    )
    monkeypatch.setattr(
        SlurmExecutor, "report_job_success", lambda self, info: did.succeeded.append(info.job.jobid)
    )
    slurm("scancel", f'echo "$@" >> {tmp_path}/cancelled')
    return executor, did

"""The Slurm executor for grids that take days.

To Snakemake's it adds five things. Jobs that a killed Snakemake left in the queue are waited for, and not
submitted once more; nor are those that ended well since this one looked at the files. An array has jobs of
one rule *and* of the same resources only, whatever is ready at a time. Jobs are submitted until Slurm takes
them, see `Submitter`. How they end is asked for in its own way, see `Watch`. Ctrl-C cancels also what is just
being submitted or looked at, and nothing of another Snakemake in the folder.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Container
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from bupo.console.slurm import submitted as being_made
from bupo.files import sha256_text
from bupo.training.slurm_job import QUEUE_AGAIN
from snakemake_executor_plugin_slurm_resume.limits import TimeLimits
from snakemake_executor_plugin_slurm_resume.logs import remove_old_logs
from snakemake_executor_plugin_slurm_resume.records import Queue, Record, Records, in_queue
from snakemake_executor_plugin_slurm_resume.submission import Submitter
from snakemake_executor_plugin_slurm_resume.watch import Watch

FRESH_S = 60.0
"""For how long it counts what the queue said of jobs that are left; Slurm forgets them some minutes after."""
LONGER_S = 10
"""By so much the pause between two looks at the jobs grows where none has ended."""


class Executor(Submitter):
    """See the module."""

    cleaned = False

    def __post_init__(self, test_mode: bool = False) -> None:
        """Find out which jobs are left of an earlier call in this folder."""
        super().__post_init__(test_mode)
        # what configs/cluster.yaml leaves out is the cluster's default, and not what earlier jobs had
        self._fallback_account_arg = self._fallback_partition = ""
        # the same in each call, so that the status of earlier jobs is found, too
        prefix = self.workflow.executor_settings.jobname_prefix
        folder = sha256_text(os.path.realpath(self.workflow.workdir_init))[:12]
        self.run_uuid = f"{prefix}_bupo-{folder}" if prefix else f"bupo-{folder}"
        os.environ[QUEUE_AGAIN] = "1"  # jobs get the environment that they are submitted from
        self.time_limits = TimeLimits(self.logger)
        self.watch = Watch(self.run_uuid, self.logger)
        self.records = Records(Path(self.workflow.workdir_init))
        try:
            self.left = in_queue(self.run_uuid) if self.records.any else Queue()
            self.looked = time.monotonic()
        except OSError as error:
            raise WorkflowError(str(error)) from error

    @SlurmExecutor.next_seconds_between_status_checks.getter
    def next_seconds_between_status_checks(self) -> float:
        """At most ``--seconds-between-status-checks``; the original waits for up to three minutes."""
        longest = self.workflow.remote_execution_settings.seconds_between_status_checks
        return min(self._next_seconds_between_status_checks or longest, longest)

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit the jobs that are ready, those of an array together, if they are not in the queue yet."""
        self._look_again()
        alike: dict[Any, list[JobExecutorInterface]] = {}
        for job in jobs:
            if not self._found_again(job):
                if not job.is_group():
                    self.time_limits.bound(job)
                alike.setdefault(self._array_of(job), []).append(job)
        for array in alike.values():
            rest = iter(array)
            while part := list(islice(rest, self.max_array_size)):
                if len(part) == 1:
                    self._submit_job(part[0])
                else:
                    self._submit_array_jobs(part)

    def _array_of(self, job: JobExecutorInterface) -> Any:
        """What the jobs of an array have in common; something of its own for a job that gets no array."""
        if job.is_group() or not {job.rule.name, "all"} & self.array_jobs:
            return id(job)
        return job.rule.name, tuple(sorted((key, str(value)) for key, value in job.resources.items()))

    def _look_again(self) -> None:
        """Drop the jobs that are not left any more: one that Slurm has forgotten would never end."""
        if self.left.ids and time.monotonic() - self.looked > FRESH_S:
            try:
                now = in_queue(self.run_uuid)
                self.left = Queue(self.left.ids & now.ids, now.numbers)
                self.looked = time.monotonic()
            except OSError as error:
                self.logger.warning(str(error))

    def _found_again(self, job: JobExecutorInterface) -> bool:
        record = None if job.is_group() else self.records.read(_output(job))
        if record is None:
            return False
        job_id = record.id_in(self.left)
        self.left.ids.discard(job_id)
        if record.is_of(job) and self._made_since_the_look(record, job):
            self.run_job_pre(job)
            self.logger.info(
                f"Job {job.jobid} ended well just now, as Slurm's job {record.job_id or job_id}."
            )
            self.report_job_success(SubmittedJobInfo(job, record.job_id))
            return True
        if not job_id:
            return False
        if not record.is_of(job):
            self.logger.info(f"Slurm's job {job_id} was submitted for other inputs; it is cancelled.")
            subprocess.run(["scancel", job_id], check=False)
            return False
        self.run_job_pre(job)
        self.logger.info(f"Job {job.jobid} is in Slurm's queue already, as job {job_id}.")
        self.report_job_submission(SubmittedJobInfo(job, job_id))
        return True

    def _made_since_the_look(self, record: Record, job: JobExecutorInterface) -> bool:
        """Whether outputs that Snakemake missed at its look at the files are there now, made by that job.

        Those that were there before are no sign: who has them made again (``--forcerun``) means it.
        """
        reason = self.workflow.dag.reason(job)
        return bool(reason.missing_output) and not reason.forced and record.made(job, being_made)

    def _write_down(self, jobs: list[JobExecutorInterface], word: str) -> None:
        """Write down what is being submitted: this process may be killed before Slurm tells the number."""
        for task, job in enumerate(jobs, start=1):
            if not job.is_group():
                self.records.begin(_output(job), str(job.shellcmd), word, task if len(jobs) > 1 else 0)

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = True) -> None:
        """Write down which job makes what."""
        job, job_id = job_info.job, str(job_info.external_jobid)
        job_info.aux = {"slurm_logfile": self.log_of(job, job_id)}
        self.submitted[job] = job_info
        if not job.is_group():
            with suppress(OSError):  # the job is found by its comment, too
                self.records.submitted(_output(job), job_id)
        super().report_job_submission(job_info, register_job)

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """Forget the job."""
        self._forget(job_info.job)
        super().report_job_success(job_info)

    def report_job_error(self, job_info: SubmittedJobInfo, msg: str | None = None, **kwargs: Any) -> None:
        """Forget the job."""
        self._forget(job_info.job)
        super().report_job_error(job_info, msg, **kwargs)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        """Report the jobs that are over, and give back all others.

        The original gives back none where squeue fails, so that nobody would look at them again; and where
        ``scontrol`` fails once it asks sacct, which tells of an array's tasks by other numbers.
        """
        by_id = {str(info.external_jobid): info for info in active_jobs}
        unfinished = cache(being_made)
        over: dict[str, str] = {}
        if by_id:
            async with self.status_rate_limiter:
                over = await asyncio.to_thread(
                    self.watch.look, by_id, lambda job_id: self._made(by_id[job_id].job, unfinished)
                )
        for job_id, info in by_id.items():
            if job_id not in over:
                yield info
            elif why := over[job_id]:
                self.report_job_error(info, why, aux_logs=[str(info.aux["slurm_logfile"])])
            else:
                self.report_job_success(info)
                self._remove_log(info)
        soon = self.workflow.executor_settings.init_seconds_before_status_checks
        changed = bool(over) or not by_id
        self.next_seconds_between_status_checks = (
            soon if changed else self.next_seconds_between_status_checks + LONGER_S
        )

    def _made(self, job: JobExecutorInterface, unfinished: Callable[[], Container[str]]) -> bool:
        record = None if job.is_group() else self.records.read(_output(job))
        return record is not None and record.made(job, unfinished)

    def _remove_log(self, info: SubmittedJobInfo) -> None:
        if not self.workflow.executor_settings.keep_successful_logs:
            with suppress(OSError):
                info.aux["slurm_logfile"].unlink()

    def clean_old_logs(self) -> None:
        """Delete old logs, at the end. The original deletes empty folders, too; see `remove_old_logs`."""
        settings = self.workflow.executor_settings
        if self.cleaned or settings.keep_successful_logs or settings.delete_logfiles_older_than <= 0:
            return
        self.cleaned = True  # it is called twice
        days = settings.delete_logfiles_older_than
        remove_old_logs(self.slurm_logdir, days, lambda: in_queue(self.run_uuid).ids)

    def _forget(self, job: JobExecutorInterface) -> None:
        self.submitted.pop(job, None)
        if not job.is_group():
            self.records.remove(_output(job))

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every job; some are missing from ``active_jobs`` while their status is asked for."""
        super().cancel_jobs(list(self.submitted.values()))
        for job in list(self.submitted):
            self._forget(job)


def _output(job: JobExecutorInterface) -> str:
    return str(job.output[0])

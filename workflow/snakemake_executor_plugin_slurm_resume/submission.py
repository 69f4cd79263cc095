"""Jobs are submitted until Slurm takes them, and each of them once.

Where sbatch fails, Slurm may have taken the job all the same: the connection was lost before its answer. The
comment of a submission ends with a word of its own, by which the job is looked for before the next try.
"""

import shlex
import subprocess
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import get_job_wildcards, set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_or_get_slurm_job_id, validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from bupo.console.ask import Failed, ask
from snakemake_executor_plugin_slurm_resume.records import number_of
from snakemake_executor_plugin_slurm_resume.refusals import Kind, Refusal, Telling

SUBMISSIONS = 5
"""How often a job is submitted before a refusal counts of which nothing is known."""
PATIENCE_S = 1800.0
"""For how long it is submitted where the refusal is one that passes."""
PAUSE_S, LONGEST_S = 2.0, 60.0
"""Between two tries: the first one, each twice the last, and the longest."""


class Submitter(SlurmExecutor):
    """See the module."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Begin with nothing submitted."""
        super().__post_init__(test_mode)
        self.submitted: dict[JobExecutorInterface, SubmittedJobInfo] = {}
        self.cancelled = threading.Event()
        self.telling = Telling(self.logger)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job until Slurm takes it."""
        self.run_array_jobs([job])

    def run_array_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit an array until Slurm takes it."""
        try:
            self._submit_until_taken(jobs)
        except Exception as error:
            # nobody looks at what a thread of the pool raises, and the jobs would never end
            self._fail(jobs, f"This job could not be submitted: {error!r}. ")

    def _submit_until_taken(self, jobs: list[JobExecutorInterface]) -> None:
        word = uuid.uuid4().hex[:12]
        since, pause, tries = time.monotonic(), PAUSE_S, Counter[Kind]()
        refusal = self._submit(jobs, word)
        while refusal is not None:
            kind = refusal.kind
            tries[kind] += 1
            if kind is Kind.LIMIT:
                if len(jobs) > 1:  # each task counts: more than the limit would never fit
                    half = len(jobs) // 2
                    self._submit_until_taken(jobs[:half])
                    return self._submit_until_taken(jobs[half:])
                if self._has_jobs():
                    since = time.monotonic()
            over = tries[Kind.UNKNOWN] >= SUBMISSIONS or time.monotonic() - since >= PATIENCE_S
            if kind is Kind.FINAL or over or self.cancelled.is_set():
                return self._give_up(jobs, word, refusal)
            self.telling.refused(refusal, ", ".join(str(job.jobid) for job in jobs))
            self.cancelled.wait(pause)
            pause = min(2 * pause, LONGEST_S)
            try:
                if self._is_taken(jobs, word):
                    break
            except OSError as error:  # before it is known, another one could be a second job
                refusal = Refusal(Kind.PASSES, str(error))
                continue
            refusal = self._submit(jobs, word)
        self.telling.taken()

    def _submit(self, jobs: list[JobExecutorInterface], word: str) -> Refusal | None:
        """Submit once; None where Slurm took the jobs."""
        if self.cancelled.is_set():
            return Refusal(Kind.UNKNOWN, "Snakemake ends")
        try:
            self._write_down(jobs, word)
            call = self._call(jobs, word)
            done = subprocess.run(call, input=self._script(jobs), capture_output=True, text=True)
            if done.returncode:
                return Refusal.of(done.stderr, shlex.join(call))
            number = validate_or_get_slurm_job_id(done.stdout.strip().partition(";")[0], done.stdout)
        except (OSError, WorkflowError) as error:
            return Refusal.of(str(error))
        self._follow(jobs, number)
        return None

    def _call(self, jobs: list[JobExecutorInterface], word: str) -> list[str]:
        first, wildcards = jobs[0], get_job_wildcards(jobs[0])
        for job in jobs:
            validate_slurm_extra(job)
        log = self.log_of(first, "%A_%a" if len(jobs) > 1 else "%j")
        log.parent.mkdir(parents=True, exist_ok=True)
        comment = f"rule_{first.name}_wildcards_{wildcards}" if wildcards else f"rule_{first.name}"
        parameters = {
            "run_uuid": self.run_uuid,
            "slurm_logfile": log,
            "comment_str": f"{comment} {word}",
            "account": next(self.get_account_arg(first)),
            "partition": self.get_partition_arg(first),
            "workdir": self.workflow.workdir_init,
        }
        call = get_submit_command(first, parameters, self.workflow.executor_settings, self._failed_nodes)
        array = [f"--array=1-{len(jobs)}"] if len(jobs) > 1 else []
        return [*shlex.split(call + set_gres_string(first)), *array]

    def _script(self, jobs: list[JobExecutorInterface]) -> str:
        """What the job runs; in an array each task its own command.

        The original has each task run the step of the array's first job, and in it the task's command. Where
        one failed, or was done a minute before the first, others failed for it and lost outputs.
        """
        commands = [self.format_job_exec(job) for job in jobs]
        if len(jobs) == 1:
            return f"#!/bin/sh\n{commands[0]}\n"
        cases = "".join(f"{task})\n{command}\n;;\n" for task, command in enumerate(commands, start=1))
        return f'#!/bin/sh\ncase "$SLURM_ARRAY_TASK_ID" in\n{cases}esac\n'

    def _follow(self, jobs: list[JobExecutorInterface], number: str) -> None:
        """Wait for jobs that Slurm took."""
        for task, job in enumerate(jobs, start=1):
            job_id = f"{number}_{task}" if len(jobs) > 1 else number
            self.logger.info(f"Job {job.jobid} is Slurm's job {job_id} (log: {self.log_of(job, job_id)}).")
            self.report_job_submission(SubmittedJobInfo(job, job_id))

    def _is_taken(self, jobs: list[JobExecutorInterface], word: str) -> bool:
        """Whether Slurm has the jobs; they are waited for then.

        Raises:
            OSError: Slurm does not say it.
        """
        number = number_of(self.run_uuid, word)
        if number:
            self._follow(jobs, number)
        return bool(number)

    def log_of(self, job: JobExecutorInterface, job_id: str) -> Path:
        """Slurm's log of a job. Those of an array have one folder."""
        folder = self.slurm_logdir / f"{'group' if job.is_group() else 'rule'}_{job.name}"
        return (folder if "_" in job_id else folder / get_job_wildcards(job)) / f"{job_id}.log"

    def _write_down(self, jobs: list[JobExecutorInterface], word: str) -> None:
        """Before jobs are submitted, as tasks of an array in this order where they are several."""

    def _give_up(self, jobs: list[JobExecutorInterface], word: str, refusal: Refusal) -> None:
        with suppress(OSError):
            if refusal.kind is not Kind.FINAL and self._is_taken(jobs, word):
                return
        self._fail(jobs, refusal.told)

    def _fail(self, jobs: list[JobExecutorInterface], why: str) -> None:
        for job in jobs:
            if job not in self.submitted:
                self.report_job_error(SubmittedJobInfo(job), why)

    def _has_jobs(self) -> bool:
        """Whether jobs of this user are in the queue, so that there may be room for others later."""
        listed = "" if self.submitted else ask(["squeue", "--me", "--noheader", "--format=%i"])
        return bool(self.submitted) or isinstance(listed, Failed) or bool(listed.strip())

    def cancel(self) -> None:
        """Submit nothing more, and cancel all that was."""
        self.cancelled.set()
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        super().cancel()

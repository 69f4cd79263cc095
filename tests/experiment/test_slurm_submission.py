"""What the executor does where Slurm refuses a submission, with a stand-in for sbatch's failures."""

import itertools
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from slurm_stand_ins import WORD, job
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_slurm_resume import ExecutorSettings
from snakemake_executor_plugin_slurm_resume import submission as module
from snakemake_executor_plugin_slurm_resume.records import number_of

AWAY = "Unable to contact slurm controller (connect failure)"
LIMIT = "AssocMaxSubmitJobLimit"
WRONG = "invalid partition specified: x"


@pytest.fixture
def refusing(made, slurm, tmp_path, monkeypatch):
    """An executor whose Slurm refuses submissions for as long as there are reasons; what was tried, and what failed."""
    executor, did = made
    did.tries, did.calls, did.reasons, did.failed, did.cancelled = [], [], [], [], False

    def sbatch(call, input, **_):
        did.tries.append([int(number) for number in re.findall(r"^make (\d+)$", input, re.M)])
        did.calls.append((call, input))
        if did.cancelled:
            executor.cancelled.set()
        if did.reasons:
            return SimpleNamespace(returncode=1, stderr=f"sbatch: error: {did.reasons.pop(0)}\n")
        return SimpleNamespace(returncode=0, stdout="12;cluster\n")

    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=sbatch))
    monkeypatch.setattr(module, "PAUSE_S", 0)
    monkeypatch.setattr(
        SlurmExecutor, "report_job_error", lambda self, info, msg: did.failed.append((info.job.jobid, msg))
    )
    slurm("squeue", "")
    executor.format_job_exec = lambda job: f"make {job.jobid}"
    executor._failed_nodes, executor._partitions = set(), None
    executor._fallback_account_arg = executor._fallback_partition = ""
    executor.workflow.workdir_init, executor.workflow.executor_settings = str(tmp_path), ExecutorSettings()
    return executor, did


def small(*numbers):
    """Jobs with what sbatch needs to be told."""
    jobs = [job(number) for number in numbers]
    for each in jobs:
        each.resources, each.threads = ResourceList(fromdict={"mem_mb": 1, "runtime": 5}), 1
    return jobs


def why(did):
    """What was told of each job that failed, without the call of sbatch."""
    return [(number, told.splitlines()[0]) for number, told in did.failed]


def test_a_submission_is_tried_again_before_it_is_a_failure(refusing):
    executor, did = refusing
    did.reasons = ["failed.\nlong"] * (module.SUBMISSIONS + 1)
    executor.run_job(*small(1))
    assert did.tries == [[1]] * module.SUBMISSIONS
    assert why(did) == [(1, "Slurm does not take this job: failed.: long.")]


def test_an_array_that_is_refused_is_tried_again_as_one(refusing):
    executor, did = refusing
    did.reasons = ["failed"] * 2
    executor.run_array_jobs(small(1, 2))
    assert did.tries == [[1, 2]] * 3 and did.failed == []
    told = "Slurm did not take jobs 1, 2; they are submitted again: failed."
    assert executor.logger.said[:-2] == [told, told]


@pytest.mark.parametrize("reason", ["failed", AWAY, LIMIT])
def test_after_ctrl_c_nothing_is_submitted_again(refusing, reason):
    executor, did = refusing
    did.reasons, did.cancelled = [reason] * 9, True
    executor.run_array_jobs(small(1, 2))
    assert did.tries == [[1, 2]] and [number for number, _ in did.failed] == [1, 2]


def test_a_refusal_that_no_time_changes_is_a_failure_at_once(refusing):
    executor, did = refusing
    did.reasons = [WRONG]
    executor.run_job(*small(1))
    told = f"Slurm does not take this job: {WRONG}. configs/cluster.yaml says what jobs ask for."
    assert did.tries == [[1]] and why(did) == [(1, told)]


def test_while_slurm_is_away_jobs_are_submitted_again_and_that_is_told_once(refusing):
    executor, did = refusing
    did.reasons = [AWAY] * 9
    executor.run_job(*small(1))
    did.reasons = [AWAY]
    executor.run_job(*small(2))
    assert did.tries == [[1]] * 10 + [[2]] * 2 and did.failed == []
    away = f"Slurm takes no jobs at present; they are submitted again for half an hour: {AWAY}."
    told = [said for said in executor.logger.said if not said.startswith("Job ")]
    assert told == [away, "Slurm takes jobs again."] * 2


def test_that_takes_an_end(refusing, monkeypatch):
    executor, did = refusing
    monkeypatch.setattr(module, "PATIENCE_S", 0)
    did.reasons = [AWAY] * 9
    executor.run_job(*small(1))
    assert did.tries == [[1]] and why(did) == [(1, f"Slurm does not take this job: {AWAY}.")]


def test_pauses_between_submissions_grow(refusing, monkeypatch):
    executor, did = refusing
    pauses = []
    monkeypatch.setattr(module, "PAUSE_S", 2.0)
    monkeypatch.setattr(executor.cancelled, "wait", pauses.append)
    did.reasons = [AWAY] * 7
    executor.run_job(*small(1))
    assert pauses == [2, 4, 8, 16, 32, 60, 60]


def test_an_array_that_a_limit_refuses_is_submitted_in_parts(refusing):
    executor, did = refusing
    did.reasons = [LIMIT, LIMIT]
    executor.run_array_jobs(small(1, 2, 3, 4, 5))
    assert did.tries == [[1, 2, 3, 4, 5], [1, 2], [1], [2], [3, 4, 5]]
    assert did.failed == []


@pytest.mark.parametrize(("queue", "tries", "failed"), [("echo 12", 8, []), ("", 2, [1])])
def test_a_limit_is_waited_for_as_long_as_there_are_jobs(refusing, slurm, monkeypatch, queue, tries, failed):
    executor, did = refusing
    slurm("squeue", f'[ "$1" = --me ] || exit 0; {queue}')
    seconds = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(module, "PATIENCE_S", 2)
    did.reasons = [LIMIT] * 7
    executor.run_job(*small(1))
    assert (len(did.tries), [number for number, _ in did.failed]) == (tries, failed)
    told = f"Slurm's queue has as many jobs as it may; the others are submitted as they end: {LIMIT}."
    assert executor.logger.said[0] == told and told not in executor.logger.said[1:]


@pytest.mark.parametrize(("numbers", "ids"), [([1], ["12"]), ([1, 2], ["12_1", "12_2"])])
def test_a_job_that_slurm_took_all_the_same_is_not_submitted_twice(
    refusing, slurm, monkeypatch, numbers, ids
):
    executor, did = refusing
    monkeypatch.setattr(module.uuid, "uuid4", lambda: type("Id", (), {"hex": WORD + "rest"}))
    slurm("squeue", f"echo '11 rule_a ab'; echo '12 rule_sample_wildcards_x {WORD}'")
    did.reasons = ["Socket timed out on send/recv operation"] * 9
    executor.run_array_jobs(small(*numbers))
    assert did.tries == [numbers] and did.failed == []
    assert [info.external_jobid for info in executor.submitted.values()] == ids


def test_the_last_refusal_may_be_of_a_job_that_slurm_took(refusing, slurm, monkeypatch):
    executor, did = refusing
    monkeypatch.setattr(module.uuid, "uuid4", lambda: type("Id", (), {"hex": WORD}))
    slurm("squeue", f"echo '12 rule_sample_wildcards_x {WORD}'")
    did.reasons, did.cancelled = [AWAY], True
    executor.run_job(*small(1))
    assert did.failed == [] and [info.external_jobid for info in executor.submitted.values()] == ["12"]


def test_nothing_is_submitted_again_before_slurm_says_what_it_took(refusing, slurm, tmp_path):
    executor, did = refusing
    slurm("squeue", f"echo >> {tmp_path}/asked; [ $(wc -l < {tmp_path}/asked) -gt 3 ]")
    did.reasons = ["Socket timed out"]
    executor.run_job(*small(1))
    assert did.tries == [[1], [1]] and len((tmp_path / "asked").read_text()) == 4


def test_an_error_of_a_thread_is_the_jobs_failure(refusing, monkeypatch):
    executor, did = refusing
    monkeypatch.setattr(executor, "_submit", lambda jobs, word: 1 / 0)
    executor.run_array_jobs(small(1, 2))
    assert [number for number, _ in did.failed] == [1, 2] and "division" in did.failed[0][1]


def test_what_cannot_be_written_down_is_not_submitted_yet(refusing, monkeypatch):
    executor, did = refusing
    begin, errors = executor.records.begin, [OSError("disk quota exceeded")]

    def fail(*arguments):
        if errors:
            raise errors.pop()
        begin(*arguments)

    monkeypatch.setattr(executor.records, "begin", fail)
    executor.run_job(*small(1))
    assert did.tries == [[1]] and did.failed == []
    assert executor.logger.said[0].endswith("half an hour: disk quota exceeded.")


def test_a_job_is_found_by_the_last_word_of_its_comment(slurm, tmp_path):
    slurm("squeue", f"echo \"$@\" > {tmp_path}/asked; echo '11 rule_a ab'; echo '13 rule_c cd'")
    assert [number_of("bupo-1", word) for word in ("cd", "d", "ef")] == ["13", "", ""]
    assert (tmp_path / "asked").read_text() == "--name bupo-1 --noheader --states=all --format=%F %k\n"


def test_a_comment_ends_with_a_word_of_the_submission(refusing):
    executor, did = refusing
    executor.run_job(*small(1))
    executor.run_array_jobs(small(2, 3))
    comments = [call[call.index("--comment") + 1].split(" ") for call, _ in did.calls]
    assert [comment for comment, _ in comments] == ["rule_sample_wildcards_x"] * 2
    assert len({word for _, word in comments}) == 2
    assert did.followed == [(1, "12"), (2, "12_1"), (3, "12_2")]


def test_a_task_of_an_array_runs_the_command_of_its_own_job_alone(refusing, tmp_path):
    executor, did = refusing
    executor.format_job_exec = lambda job: f"echo 'job  {job.jobid}' \"$0\" && exit {job.jobid}"
    executor.run_array_jobs(small(1, 2, 3))
    call, script = did.calls[0]
    assert (
        "--array=1-3" in call and "logs/rule_sample/%A_%a.log" in call and Path("logs/rule_sample").is_dir()
    )
    (tmp_path / "script").write_text(script)
    for task in "1", "2", "3":
        done = subprocess.run(
            ["sh", "script"], env={"SLURM_ARRAY_TASK_ID": task}, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (int(task), f"job  {task} script\n", "")


def test_a_job_alone_is_no_array(refusing):
    executor, did = refusing
    executor.run_job(*small(7))
    call, script = did.calls[0]
    assert script == "#!/bin/sh\nmake 7\n" and not any(word.startswith("--array") for word in call)
    assert call[call.index("--output") + 1] == "logs/rule_sample/x/%j.log"


def test_the_call_is_told_where_slurm_refuses_it(refusing):
    executor, did = refusing
    did.reasons = [WRONG]
    executor.run_array_jobs(small(1, 2))
    assert [number for number, _ in did.failed] == [1, 2]
    assert "\n    sbatch --parsable --job-name bupo-1 " in did.failed[0][1]


def test_an_answer_without_a_number_is_a_refusal_of_which_nothing_is_known(refusing, monkeypatch):
    executor, did = refusing
    answer = SimpleNamespace(returncode=0, stdout="welcome\n")
    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=lambda call, **_: answer))
    executor.run_job(*small(1))
    assert len(did.failed) == 1 and "No valid SLURM job ID found in: welcome" in did.failed[0][1]


def test_an_account_that_cannot_be_looked_up_now_passes(refusing, monkeypatch):
    executor, did = refusing
    errors = [WorkflowError("sacctmgr: error: Sending PersistInit msg: Connection refused")]

    def account(job):
        if errors:
            raise errors.pop()
        yield " -A ours"

    monkeypatch.setattr(executor, "get_account_arg", account)
    executor.run_job(*small(1))
    assert did.failed == [] and did.calls[0][0][did.calls[0][0].index("-A") + 1] == "ours"

"""Which jobs of an earlier call the executor for Slurm takes for its own, and which it leaves alone."""

import copy
import os
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from slurm_stand_ins import WORD, File, Old, followed, job
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_plugin_slurm_resume import executor as module
from snakemake_executor_plugin_slurm_resume.records import Queue, Records, in_queue


def again(executor, *ids):
    """The executor of the next call, which finds these jobs in the queue."""
    executor.submitted, executor.left = {}, Queue(set(ids))


def test_a_job_that_is_in_the_queue_is_waited_for_and_not_submitted(made):
    executor, did = made
    followed(executor, job(1), "12")
    again(executor, "12")
    executor.run_jobs([job(1), job(2, rule="train")])
    assert did.followed == [(1, "12"), (1, "12")] and did.submitted == [2]
    assert "is in Slurm's queue already, as job 12" in executor.logger.said[-1]


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_job_that_slurm_took_just_before_the_kill_is_waited_for(made, tasks):
    executor, did = made
    jobs = [job(number) for number in range(1, tasks + 1)]
    executor._write_down(jobs, WORD)
    ids = ["12"] if tasks == 1 else ["12_1", "12_2"]
    executor.left = Queue({*ids, "13"}, {WORD: "12", "ab": "13"})
    executor.run_jobs(jobs)
    assert did.followed == [(number, job_id) for number, job_id in enumerate(ids, start=1)]
    assert (did.submitted, did.arrays) == ([], [])
    assert [executor.records.read(each.output[0]).job_id for each in jobs] == ids


def test_a_job_that_slurm_did_not_take_before_the_kill_is_submitted(made):
    executor, did = made
    executor._write_down([job(1)], WORD)
    executor.left = Queue({"13"}, {"ab": "13"})
    executor.run_jobs([job(1)])
    assert did.submitted == [1]


def test_a_job_that_is_found_again_keeps_the_time_of_its_submission(made):
    executor, _ = made
    before = followed(executor, job(1), "12") and executor.records.read("sample/1")
    again(executor, "12")
    executor.run_jobs([job(1)])
    assert executor.records.read("sample/1") == before


def test_a_job_that_is_over_is_submitted(made):
    executor, did = made
    followed(executor, job(1), "12")
    again(executor, "13")
    executor.run_jobs([job(1)])
    assert did.submitted == [1]


@pytest.fixture
def ended(made):
    """The next call after one that was killed; its job has made its output since the files were looked at."""
    executor, did = made
    first = job(1)
    followed(executor, first, "12")
    did.reason.missing_output = {first.output[0]}
    output = Path(first.output[0])
    output.parent.mkdir()
    output.write_text("whole")
    os.utime(output, (time.time() + 9, time.time() + 9))
    again(executor)
    return executor, did, first, output


@pytest.mark.parametrize("left", [(), ("12",)])
def test_a_job_that_ended_well_since_the_look_at_the_files_is_done(ended, left):
    executor, did, first, _ = ended
    executor.left = Queue(set(left))
    executor.run_jobs([first])
    assert (did.submitted, did.succeeded) == ([], [1])
    assert not executor.records.any and not executor.left.ids


@pytest.mark.parametrize("why", ["forced", "there before", "incomplete", "old", "gone", "command"])
def test_an_output_that_is_not_the_jobs_is_made_anew(ended, why):
    executor, did, first, output = ended
    if why == "forced":
        did.reason.forced = True
    elif why == "there before":
        did.reason.missing_output = set()
    elif why == "incomplete":
        mark = Path(".snakemake/incomplete") / urlsafe_b64encode(str(output).encode()).decode()
        mark.parent.mkdir()
        mark.write_text("{}")
    elif why == "old":
        os.utime(output, (time.time() - 9, time.time() - 9))
    elif why == "gone":
        output.unlink()
    else:
        first.shellcmd = "other"
    executor.run_jobs([first])
    assert (did.submitted, did.succeeded) == ([1], [])


def test_a_job_that_failed_is_submitted_though_its_number_may_still_be_listed(made):
    executor, did = made
    first = job(1)
    followed(executor, first, "12")
    executor.report_job_error(SubmittedJobInfo(first, "12", {}), "failed")
    again(executor, "12")
    executor.run_jobs([first])
    assert did.submitted == [1]


@pytest.mark.parametrize("change", ["command", "input", "input that is gone"])
def test_a_job_for_something_else_is_cancelled_and_submitted_anew(made, tmp_path, change):
    executor, did = made
    file = tmp_path / "config.yaml"
    file.write_text("old")
    followed(executor, job(1, inputs=[File(file)]), "12")
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
    followed(executor, job(1, inputs=[Old(file)]), "12")
    again(executor, "12")
    os.utime(file, (time.time() + 9, time.time() + 9))
    executor.run_jobs([job(1, inputs=[Old(file)])])
    assert did.submitted == []


def test_two_calls_in_one_folder_leave_each_others_jobs_alone(made, tmp_path):
    first, did = made
    second = copy.copy(first)
    second.submitted, first._submitted_job_clusters, second._submitted_job_clusters = {}, set(), set()
    ours, theirs = job("x/1"), job("y/1")  # outputs are in the folder of their experiment
    followed(first, ours, "12")
    second.left = Queue({"12"})  # the queue tells of both calls' jobs
    second.run_jobs([theirs])
    assert did.submitted == ["y/1"] and did.followed == [("x/1", "12")]
    followed(second, theirs, "13")
    second.cancel_jobs([])
    assert (tmp_path / "cancelled").read_text() == "13\n"
    assert first.records.read(ours.output[0]).job_id == "12" and first.records.read(theirs.output[0]) is None
    assert list(first.submitted) == [ours]


def test_a_job_that_slurm_may_have_forgotten_is_not_waited_for(made, slurm):
    executor, did = made
    for number in (1, 2):
        followed(executor, job(number), f"1{number}")
    again(executor, "11", "12")
    slurm("squeue", "echo '12|12|rule_a ab'")
    executor.looked -= module.FRESH_S + 1
    executor.run_jobs([job(1), job(2)])
    assert did.submitted == [1] and did.followed[2:] == [(2, "12")]


def test_the_queue_is_asked_for_each_task_of_the_folders_jobs(slurm, tmp_path):
    slurm(
        "squeue",
        f"echo \"$@\" > {tmp_path}/asked; echo '12_1|12|rule_a ab'; echo '13|13|rule_b_wildcards_x cd'",
    )
    assert in_queue("bupo-1") == Queue({"12_1", "13"}, {"ab": "12", "cd": "13"})
    assert (tmp_path / "asked").read_text() == "--name bupo-1 --noheader --array --format=%i|%F|%k\n"


def test_a_queue_that_does_not_answer_is_told(slurm):
    slurm("squeue", "echo no controller >&2; exit 1")
    with pytest.raises(OSError, match=r"left: squeue .*: no controller$"):
        in_queue("bupo-1", pause=lambda seconds: None)


def test_a_record_that_is_broken_is_none(tmp_path):
    records = Records(tmp_path)
    assert not records.any and records.read("x") is None
    records.begin("x", "make")
    records.submitted("x", "12")
    assert records.any and records.read("x").job_id == "12"
    next(records.folder.iterdir()).write_text("{")
    assert records.read("x") is None

"""How the executor for Slurm learns how its jobs end, with stand-ins for Slurm's commands."""

import asyncio
import os
import time
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from slurm_stand_ins import followed, job

ASKED = "--name bupo-1 --array --states=all --noheader --format=%i|%T|%r"


@pytest.fixture
def looked(made, slurm, tmp_path):
    """Follow jobs of these numbers, and look at them while squeue tells this; those that go on."""
    executor, _ = made
    infos = {}

    def look(told, *ids, fails=False):
        (tmp_path / "told").write_text(told)
        slurm(
            "squeue", "echo no controller >&2; exit 1" if fails else f'echo "$@" > asked; cat {tmp_path}/told'
        )
        for job_id in ids:
            if job_id not in infos:
                infos[job_id] = followed(executor, job(job_id), job_id)

        async def active():
            found = executor.check_active_jobs([infos[job_id] for job_id in ids])
            return [info.external_jobid async for info in found]

        return asyncio.run(active())

    return look


def test_jobs_that_are_over_are_reported_and_all_others_go_on(made, looked, tmp_path):
    executor, did = made
    folder = Path("logs/rule_sample/x")
    folder.mkdir(parents=True)
    for number in "12", "13":
        (folder / f"{number}.log").touch()
    told = (
        "12|COMPLETED|None\n13|FAILED|NonZeroExitCode\n14|RUNNING|None\n15|PENDING|Resources\n9|FAILED|None\n"
    )
    assert looked(told, "12", "13", "14", "15") == ["14", "15"]
    assert (tmp_path / "asked").read_text().strip() == ASKED
    assert did.succeeded == ["12"]
    assert did.followed[-1] == "Slurm's job 13 ended as FAILED (NonZeroExitCode). "
    assert [info.external_jobid for info in executor.submitted.values()] == ["14", "15"]
    assert [path.name for path in folder.iterdir()] == ["13.log"]


def test_where_slurm_does_not_answer_all_jobs_go_on_and_that_is_told_once(made, looked):
    executor, did = made
    for _ in range(2):
        assert looked("", "12", "13", fails=True) == ["12", "13"]
    assert looked("12|RUNNING|None\n13|COMPLETED|None\n", "12", "13") == ["12"]
    assert did.succeeded == ["13"]
    assert executor.logger.said == [
        "Slurm does not say how jobs go, and is asked again: squeue ended with status 1: no controller.",
        "Slurm says how jobs go again.",
    ]


def test_a_task_of_an_array_ends_by_its_own_number(made, looked, slurm):
    _, did = made
    slurm("scontrol", "exit 1")
    slurm("sacct", "echo '12|COMPLETED'")  # all tasks, where their array is asked for
    told = "12_1|RUNNING|None\n12_2|COMPLETED|None\n12_3|PENDING|Priority\n"
    assert looked(told, "12_1", "12_2", "12_3") == ["12_1", "12_3"]
    assert did.succeeded == ["12_2"]


@pytest.mark.parametrize("state", ["CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"])
def test_a_failure_counts_at_once(made, looked, state):
    _, did = made
    assert looked(f"12|{state}|None\n", "12") == []
    assert did.followed[-1] == f"Slurm's job 12 ended as {state}. "


@pytest.mark.parametrize("state", ["BOOT_FAIL", "NODE_FAIL", "PREEMPTED", "REVOKED"])
def test_an_end_after_which_slurm_may_queue_the_job_again_counts_at_the_second_look(
    made, looked, tmp_path, state
):
    _, did = made
    for told in (state, "PENDING", state):
        assert looked(f"12|{told}|None\n", "12") == ["12"]
    assert looked(f"12|{state}|None\n", "12") == []
    assert did.followed[-1] == f"Slurm's job 12 ended as {state}, and was not queued again. "
    assert (tmp_path / "cancelled").read_text() == "12\n", "or two might run"


@pytest.mark.parametrize(
    "state", ["COMPLETING", "CONFIGURING", "REQUEUED", "STAGE_OUT", "STOPPED", "SUSPENDED"]
)
def test_a_job_in_another_state_goes_on(made, looked, state):
    executor, _ = made
    for _ in range(4):
        assert looked(f"12|{state}|None\n", "12") == ["12"]
    assert executor.logger.said == []


def test_a_job_that_is_held_is_told_once(made, looked):
    executor, _ = made
    held = "12|SPECIAL_EXIT|None\n13|PENDING|JobHeldAdmin\n14|PENDING|launch failed requeued held\n15|PENDING|None\n"
    for _ in range(2):
        assert looked(held, "12", "13", "14", "15") == ["12", "13", "14", "15"]
    assert executor.logger.said == [
        "Slurm holds 12,13,14: `scontrol release 12,13,14` lets it go on, and what is cancelled by scancel is "
        "submitted again."
    ]


@pytest.fixture
def accounting(slurm):
    def tell(told):
        slurm("sacct", f"echo \"$@\" > sacct; printf '{told}'" if told else "echo disabled >&2; exit 1")

    tell("")
    return tell


def test_a_job_that_slurm_forgot_fails_where_its_outputs_stay_away(made, looked, accounting):
    _, did = made
    assert looked("", "12") == ["12"]
    assert looked("", "12", fails=True) == ["12"], "no answer is none about the job"
    assert looked("", "12") == ["12"] and looked("", "12") == []
    assert did.followed[-1] == "Slurm knows nothing of job 12 any more, and its outputs are not there. "


def test_a_job_that_is_seen_again_was_not_forgotten(made, looked, accounting):
    for told in ("", "", "12|RUNNING|None\n", "", ""):
        assert looked(told, "12") == ["12"]


@pytest.mark.parametrize("why_not", ["", "old", "marked"])
def test_a_job_that_slurm_forgot_ended_well_where_its_outputs_are_made(made, looked, accounting, why_not):
    _, did = made
    assert looked("12|RUNNING|None\n", "12") == ["12"]
    output = Path(job("12").output[0])
    output.parent.mkdir()
    output.touch()
    written = time.time() + (-9 if why_not == "old" else 9)
    os.utime(output, (written, written))
    if why_not == "marked":
        mark = Path(".snakemake/incomplete") / urlsafe_b64encode(str(output).encode()).decode()
        mark.parent.mkdir(parents=True)
        mark.write_text("{}")
    assert looked("", "12") == (["12"] if why_not else [])
    assert did.succeeded == ([] if why_not else ["12"])


def test_sacct_tells_how_a_job_ended_that_squeue_forgot(made, looked, accounting, tmp_path):
    _, did = made
    accounting("12|COMPLETED\\n13_2|CANCELLED by 1000\\n14|RUNNING\\n")
    assert looked("15|RUNNING|None\n", "12", "13_2", "14", "15") == ["14", "15"]
    assert did.succeeded == ["12"]
    assert did.followed[-1] == "Slurm's job 13_2 ended as CANCELLED. "
    asked = "--name bupo-1 --allocations --parsable2 --noheader --format=JobID,State --jobs 12,13_2,14"
    assert (tmp_path / "sacct").read_text().strip() == asked


def test_jobs_are_looked_at_sooner_where_one_ended(made, looked):
    executor, _ = made
    longest = executor.workflow.remote_execution_settings.seconds_between_status_checks
    pauses = []
    for told in ("RUNNING", "RUNNING", "COMPLETED"):
        looked(f"12|{told}|None\n", "12")
        pauses.append(executor.next_seconds_between_status_checks)
    assert pauses == [longest, longest, 2]

"""How the executor for Slurm learns how its jobs end, with stand-ins for Slurm's commands."""

import asyncio
from pathlib import Path

import pytest
from slurm_stand_ins import job
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

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
            info = SubmittedJobInfo(job(job_id), job_id, {"slurm_logfile": Path(f"{job_id}.log")})
            if job_id not in infos:
                infos[job_id] = info
                executor.report_job_submission(info)

        async def active():
            found = executor.check_active_jobs([infos[job_id] for job_id in ids])
            return [info.external_jobid async for info in found]

        return asyncio.run(active())

    return look


def test_jobs_that_are_over_are_reported_and_all_others_go_on(made, looked, tmp_path):
    executor, did = made
    for number in "12", "13":
        Path(f"{number}.log").touch()
    told = (
        "12|COMPLETED|None\n13|FAILED|NonZeroExitCode\n14|RUNNING|None\n15|PENDING|Resources\n9|FAILED|None\n"
    )
    assert looked(told, "12", "13", "14", "15") == ["14", "15"]
    assert (tmp_path / "asked").read_text().strip() == ASKED
    assert did.succeeded == ["12"]
    assert did.followed[-1] == "Slurm's job 13 ended as FAILED (NonZeroExitCode). "
    assert [info.external_jobid for info in executor.submitted.values()] == ["14", "15"]
    assert [path.name for path in Path().glob("*.log")] == ["13.log"]


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
    slurm("sacct", "echo '12|COMPLETED'")  # the number of the last task, for sacct
    told = "12_1|RUNNING|None\n12_2|COMPLETED|None\n12_3|PENDING|Priority\n"
    assert looked(told, "12_1", "12_2", "12_3") == ["12_1", "12_3"]
    assert did.succeeded == ["12_2"]


def test_jobs_are_looked_at_sooner_where_one_ended(made, looked):
    executor, _ = made
    longest = executor.workflow.remote_execution_settings.seconds_between_status_checks
    pauses = []
    for told in ("RUNNING", "RUNNING", "COMPLETED"):
        looked(f"12|{told}|None\n", "12")
        pauses.append(executor.next_seconds_between_status_checks)
    assert pauses == [longest, longest, 2]

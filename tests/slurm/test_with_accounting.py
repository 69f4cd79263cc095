"""The pipeline on a real Slurm with accounting, which forgets jobs soon after their end."""

import os
import signal

import pytest
from configuration import ACCOUNT
from grid import BASE, EVALUATED, called, wait_until
from slurm_jobs import freeze, send, told

from bupo.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def accounted_for(job):
    """State and account of a job or of each of its tasks, by their number."""
    rows = told(
        "sacct", "--allocations", "--noheader", "--parsable2", "--format=JobID,State,Account", "--jobs", job
    )
    return {number: (state, account) for number, state, account in (row.split("|") for row in rows.split())}


def test_jobs_go_to_the_account_of_the_file_and_end_as_accounting_tells(accounted):
    grid = accounted
    grid.change("cluster.yaml", account=ACCOUNT)
    grid.shards(2)
    grid.forget(BASE)
    with called(grid, EVALUATED) as call:
        call.wait_until(lambda: len(grid.queued("RUNNING")) == 2)
        first, second = sorted(grid.queued())
        freeze(second)
        os.kill(call.process.pid, signal.SIGSTOP)  # until Slurm's controller has forgotten them
        send(signal.SIGKILL, second)
        wait_until(lambda: not grid.remembered())
        os.kill(call.process.pid, signal.SIGCONT)
    assert f"Slurm's job {second} ended as FAILED" in call.output
    array, again = (line.split()[0] for line in grid.submitted("sample"))
    (grade,) = (line.split()[0] for line in grid.submitted("grade"))
    ends = accounted_for(array) | accounted_for(again) | accounted_for(grade)
    assert ends == {
        second: ("FAILED", ACCOUNT),
        **dict.fromkeys((first, again, grade), ("COMPLETED", ACCOUNT)),
    }
    assert read_json(grid.folder / EVALUATED)["n_problems"] == 16

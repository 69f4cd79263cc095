"""Trainings on a real Slurm that fail, whose time is over, or that make room for other jobs."""

import signal
from contextlib import contextmanager

import pytest
from grid import RUN, TRAINED, called, wait_until
from slurm_jobs import described, freeze, seconds_left, send, urgent_job

from bupo.files import read_json

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


@contextmanager
def training(grid):
    """A training that has saved a step, and holds still; afterwards its grid goes on, to its end."""
    grid.forget(RUN)
    with called(grid, TRAINED) as call:
        call.wait_until(grid.saved)
        (job,) = grid.queued("RUNNING")
        send(signal.SIGSTOP, job)
        yield job


def check(grid, *outcomes):
    """Every step is there once, and so many calls of the training made them, each from where the last one ended.

    Args:
        outcomes: of the calls; None where it depends on how fast they were.

    Returns:
        The calls' jobs.
    """
    assert grid.steps() == [1, 2, 3]
    done = read_json(grid.folder / TRAINED)
    assert done["steps"] == 3 and done["resumed_from"] > 0
    # a call that is not among the last ones found no time for a step
    last = done["jobs"][-len(outcomes) :]
    for job, outcome in zip(last, outcomes, strict=True):
        assert outcome in (None, job["outcome"])
    return [job["slurm_job_id"] for job in last]


def submitted(grid):
    return [line.split()[0] for line in grid.submitted("train")]


def test_a_training_that_is_cancelled_for_another_job_or_killed_is_submitted_again(grid):
    grid.partition("cpu", "cancelled")
    with training(grid) as job:
        with urgent_job():
            wait_until(lambda: described(job)["JobState"] == "PREEMPTED")
        wait_until(lambda: len(submitted(grid)) == 2)
        again = submitted(grid)[1]
        freeze(again)
        send(signal.SIGKILL, again)
    assert described(again)["JobState"] == "FAILED"
    assert len(submitted(grid)) == 3
    assert check(grid, "completed") == submitted(grid)[2:]


def test_a_training_whose_time_is_over_goes_on_in_the_same_job(grid):
    # Two minutes, of which a training leaves one unused. More where none of its steps fits into that on a busy machine.
    grid.job("train", hours=1 / 30)
    with training(grid) as job:  # its step takes long
        wait_until(lambda: seconds_left(job) < 60)
        send(signal.SIGCONT, job)
    assert check(grid, "stopped", "completed") == [job, job]


def test_a_training_that_makes_room_for_another_job_goes_on_in_the_same_job(grid):
    grid.partition("cpu", "requeued")
    with training(grid) as job, urgent_job() as urgent:
        wait_until(lambda: described(urgent)["JobState"] == "RUNNING")
    assert check(grid, None, "completed") == [job, job]
    assert submitted(grid) == [job] and described(job)["Restarts"] == "1"


def test_a_training_that_saves_before_it_makes_room_goes_on_in_the_same_job(grid):
    grid.partition("cpu", "graceful")
    # Slurm lets it move when the grace begins
    with training(grid) as job, urgent_job() as urgent:
        wait_until(lambda: described(urgent)["JobState"] == "RUNNING")
    assert check(grid, "stopped", "completed") == [job, job]
    assert submitted(grid) == [job]

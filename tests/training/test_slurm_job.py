"""When a training's Slurm job ends, and how it is queued again; Slurm's commands are stand-ins."""

import stat

import pytest

from bupo.training import slurm_job
from bupo.training.slurm_job import end_of_job, makes_room, queue_again


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Writes stand-ins of Slurm's commands, the only ones on the path."""
    for name in (slurm_job.END_TIME, slurm_job.QUEUE_AGAIN):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(slurm_job.JOB_ID, "12")
    monkeypatch.setenv("PATH", str(tmp_path))

    def command(name, script):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/{name}.asked\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return command


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        ("0:07", 7),
        ("9:59", 599),
        ("59:00", 3540),
        ("1:00:01", 3601),
        ("23:59:59", 86399),
        ("2-01:00:00", 176400),
    ],
)
def test_slurm_is_asked_for_the_end_where_the_job_is_not_told(slurm, monkeypatch, tmp_path, left, seconds):
    monkeypatch.setattr(slurm_job.time, "time", lambda: 1000.0)
    slurm("squeue", f"echo {left}")
    assert end_of_job() == 1000 + seconds
    assert (tmp_path / "squeue.asked").read_text() == "--noheader --jobs=12 --format=%L\n"


def test_what_the_job_is_told_counts(slurm, monkeypatch):
    monkeypatch.setenv(slurm_job.END_TIME, "4000")
    slurm("squeue", "echo 1:00")
    assert end_of_job() == 4000


@pytest.mark.parametrize("said", ["echo UNLIMITED", "echo INVALID", "exit 1"])
def test_a_job_without_an_end(slurm, said):
    slurm("squeue", said)
    assert end_of_job() is None


def test_without_slurm_there_is_no_end(slurm, monkeypatch):
    assert end_of_job() is None, "squeue is not there"
    monkeypatch.delenv(slurm_job.JOB_ID)
    slurm("squeue", "echo 1:00")
    assert end_of_job() is None


def test_only_a_job_of_the_workflow_is_queued_again(slurm, monkeypatch, tmp_path):
    slurm("scontrol", "")
    assert not queue_again() and not (tmp_path / "scontrol.asked").exists()
    monkeypatch.setenv(slurm_job.QUEUE_AGAIN, "1")
    assert queue_again()
    assert (tmp_path / "scontrol.asked").read_text() == "requeue 12\n"


def test_a_job_that_slurm_does_not_queue_again_is_told(slurm, monkeypatch, capsys):
    monkeypatch.setenv(slurm_job.QUEUE_AGAIN, "1")
    assert not queue_again()
    slurm("scontrol", "echo Requested operation is presently disabled >&2; exit 1")
    assert not queue_again()
    assert "could not be queued again: Requested operation is presently disabled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "room"),
    [
        ("RUNNING             1000                ", True),
        ("RUNNING             1600                ", True),
        ("RUNNING             999                 ", False),  # before this call began
        ("RUNNING             N/A                 ", False),
        ("COMPLETING          1600                ", False),  # cancelled meanwhile
        ("CANCELLED           1600                ", False),
        ("", False),
    ],
)
def test_a_job_that_makes_room_is_asked_for_it_while_this_call_ran(slurm, tmp_path, said, room):
    slurm("squeue", f'echo "$SLURM_TIME_FORMAT" > {tmp_path}/times; echo "{said}"')
    assert makes_room(since=1000.7) is room
    asked = (tmp_path / "squeue.asked").read_text()
    assert asked == "--noheader --jobs=12 --Format=State:20,PreemptTime:20\n"
    assert (tmp_path / "times").read_text() == "%s\n"


def test_no_room_is_made_without_slurm_or_its_answer(slurm, monkeypatch):
    slurm("squeue", "exit 1")
    assert not makes_room(since=0)
    monkeypatch.delenv(slurm_job.JOB_ID)
    slurm("squeue", "echo RUNNING 1600")
    assert not makes_room(since=0)

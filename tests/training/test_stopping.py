"""When a training stops before its last step."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from bupo.training import slurm_job, stopping
from bupo.training.stopping import MARGIN_S, Stopping, find_deadline


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(stopping.time, "time", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("limit", "slurm", "deadline"),
    [(None, None, None), (50, None, 150), (None, "130", 130), (50, "130", 130), (20, "130", 120)],
)
def test_the_first_end_counts(monkeypatch, limit, slurm, deadline):
    monkeypatch.delenv(slurm_job.END_TIME, raising=False)
    if slurm:
        monkeypatch.setenv(slurm_job.END_TIME, slurm)
    assert find_deadline(limit, started=100) == deadline


def test_without_a_deadline_a_run_goes_on(clock):
    assert Stopping().reason is None


@pytest.mark.parametrize(
    ("steps", "save", "needed"),
    [
        ([], None, 0),
        ([10], None, 30),  # a save that was not seen yet counts as a step
        ([10], 1, 12),
        ([10, 30, 20], 2, 34),
        ([99, 1, 1, 1, 1, 1], 0.5, 2),  # the longest of the last five
    ],
)
def test_another_step_has_to_fit_with_two_saves_and_a_margin(clock, steps, save, needed):
    stop = Stopping(deadline=2000)
    for step in steps:
        stop.took(step)
    if save is not None:
        stop.saved(save)
    clock[0] = 2000 - MARGIN_S - needed
    assert stop.reason is None
    clock[0] += 0.1
    assert stop.reason.endswith(f"another step may need {round(needed + MARGIN_S)} s")


PROGRAM = """
import signal, sys, time
from bupo.training.stopping import Stopping

# a shell that runs the tests in the background has it ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
try:
    with Stopping() as stop:
        assert stop.reason is None
        print("begins", flush=True)
        sys.stdin.readline()
        print(stop.reason, flush=True)
        sys.stdin.readline()
except KeyboardInterrupt:
    print("at once")
assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
"""
"""A process of its own, as a training is: here other threads may take the signals."""


@contextmanager
def process():
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) as running:
        assert running.stdout.readline() == "begins\n"
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", sorted(stopping.SIGNALS))
def test_a_signal_is_told_and_noted_and_ends_nothing(number):
    name = signal.Signals(number).name
    with process() as running:
        running.send_signal(number)
        assert f"{name}: stopping when the step is done" in running.stderr.readline()
        said, _ = running.communicate("\n\n")
        assert (said, running.returncode) == (f"{name}\n", 0)


def test_sigint_again_does_not_wait():
    with process() as running:
        running.send_signal(signal.SIGINT)
        assert "once more ends it at once" in running.stderr.readline()
        running.send_signal(signal.SIGTERM)  # the same wish by another hand is no reason to hurry
        assert running.stderr.readline() == "SIGTERM: stopping when the step is done\n"
        running.send_signal(signal.SIGINT)
        time.sleep(0.1)
        said, _ = running.communicate("\n\n")
        assert (said.splitlines()[-1], running.returncode) == ("at once", 0)


def test_what_is_started_meanwhile_does_not_end_by_the_signal():
    with Stopping():
        child = subprocess.Popen([sys.executable, "-c", "print(input())"], stdin=-1, stdout=-1, text=True)
        for number in stopping.SIGNALS:
            child.send_signal(number)
        assert child.communicate("alive\n")[0] == "alive\n"
    assert child.returncode == 0

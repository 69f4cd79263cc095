"""The pipeline on a real Slurm of one node: jobs that fail, end, are cancelled or are left alone."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from checkout import kill_group
from grid import RUN, wait_until

from bupo.files import read_json, read_yaml
from bupo.identity import config_sha256

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

TRAINED = f"results/small/{RUN}/done.json"
BASE = "evaluation/tiny_qwen3/base/seed0/arithmetic_easy"
EVALUATED = f"results/small/{BASE}/summary.json"


def finish(grid, *arguments):
    done = grid.run(*arguments)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def seconds_left(job):
    """Until Slurm ends a job."""
    command = ["squeue", "--noheader", "--format=%L", "--jobs", job]
    minutes, seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split(":")
    return 60 * int(minutes) + int(seconds)


def check_trained(grid, calls):
    """Every step is there once, and so many calls of the training made them."""
    assert [json.loads(line)["step"] for line in grid.steps()] == [1, 2, 3]
    done = read_json(grid.folder / TRAINED)
    # a call that is not among the last ones found no time for a step
    last = done["jobs"][-len(calls) :]
    assert (done["steps"], [job["outcome"] for job in last]) == (3, calls)
    return last


def send(number, job, program="bupo.training"):
    """Send a signal to those processes of a job that run a program."""
    command = ["scontrol", "listpids", job]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for pid in {int(row.split()[0]) for row in rows[1:]}:
        if program in (Path("/proc") / str(pid) / "cmdline").read_text().split("\0"):
            os.kill(pid, number)


def test_an_experiment_is_made_by_jobs_of_slurm(finished):
    assert (finished.results / "report/index.html").stat().st_size > 0
    (job,) = check_trained(finished, ["completed"])
    (line,) = finished.submitted("train")
    assert job["partition"] == "cpu" and line.split()[0] == job["slurm_job_id"]
    rules = sorted(line.split("rule_")[1].split("_wildcards")[0] for line in finished.submitted())
    assert rules == ["entropy", "evaluate", "evaluate", "model", "train"]
    assert not finished.queued()


def test_a_job_gets_the_gpu_and_the_partition_that_it_asks_for(finished):
    for line in finished.submitted("evaluate"):
        command = ["scontrol", "show", "job", line.split()[0]]
        job = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert {"JobState=COMPLETED", "Partition=gpu", "TresPerNode=gres:gpu:1"} <= set(job)


def test_a_second_call_finds_nothing_to_do(finished):
    before = finished.submitted()
    assert "Nothing to be done" in finish(finished)
    assert finished.submitted() == before


def test_a_job_that_is_killed_is_submitted_again(grid):
    grid.forget(RUN)
    process = grid.start(TRAINED)
    try:
        wait_until(grid.steps, process)
        (job,) = grid.queued("RUNNING")
        send(signal.SIGKILL, job)
        output, _ = process.communicate(timeout=600)
    finally:
        kill_group(process)
    assert process.returncode == 0, output[-6000:]
    assert len(grid.submitted("train")) == 2
    first, second = check_trained(grid, ["killed", "completed"])
    assert [first["slurm_job_id"], second["slurm_job_id"]] == [
        line.split()[0] for line in grid.submitted("train")
    ]


def test_a_training_whose_time_is_over_goes_on_in_the_same_job(grid):
    # Two minutes, of which a training leaves one unused. More where none of its steps fits into that on a busy machine.
    grid.change(
        "cluster.yaml",
        sizes={"tiny": {**grid.sizes["tiny"], "train": {"cpus": 1, "mem_gb": 3, "hours": 1 / 30}}},
    )
    grid.forget(RUN)
    process = grid.start(TRAINED)
    try:
        wait_until(grid.steps, process)
        (job,) = grid.queued("RUNNING")
        send(signal.SIGSTOP, job)  # a step that takes long
        wait_until(lambda: seconds_left(job) < 60)
        send(signal.SIGCONT, job)
        output, _ = process.communicate(timeout=600)
    finally:
        kill_group(process)
    assert process.returncode == 0, output[-6000:]
    calls = check_trained(grid, ["stopped", "completed"])
    assert [call["slurm_job_id"] for call in calls] == [job, job]
    assert read_json(grid.folder / TRAINED)["resumed_from"] > 0


def test_shards_of_an_evaluation_are_arrays_as_far_as_jobs_are_allowed(grid):
    grid.change("evaluation/demo.yaml", shards={"problems": 3, "samples": None})
    grid.forget(BASE)
    finish(grid, EVALUATED, "--jobs", "2")
    assert next(line.split()[1] for line in grid.submitted("sample")) == "--array=1-2"
    assert len(grid.submitted("sample")) == 2
    assert len(list((grid.results / BASE).glob("shard-*-of-3-*.parquet"))) == 3
    assert read_json(grid.folder / EVALUATED)["n_problems"] == 16


@pytest.fixture
def interruptible():
    """What a shell started in the background ignores Ctrl-C, and so does all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_no_job(grid):
    grid.forget(RUN, BASE)
    process = grid.start(TRAINED, EVALUATED)
    try:
        wait_until(lambda: grid.queued("RUNNING"), process)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=300)
    finally:
        kill_group(process)
    assert "on user request" in output and grid.submitted(), output[-4000:]
    # cancelled jobs take a moment to end
    wait_until(lambda: not grid.queued())


def test_a_killed_snakemake_finds_its_jobs_again(grid):
    grid.forget(RUN)
    grid.kill_when(lambda: grid.queued("RUNNING"), TRAINED)
    (job,) = grid.queued("RUNNING")
    output = finish(grid, TRAINED)
    # the latter where the training is over before the second call comes to it
    told = f"in Slurm's queue already, as job {job}", f"ended well just now, as Slurm's job {job}"
    assert any(sentence in output for sentence in told), output[-4000:]
    assert [line.split()[0] for line in grid.submitted("train")] == [job]
    check_trained(grid, ["completed"])


def test_a_job_for_a_configuration_of_before_is_cancelled(grid):
    grid.forget(RUN)
    grid.kill_when(lambda: grid.queued("RUNNING"), TRAINED)
    (job,) = grid.queued("RUNNING")
    training = read_yaml(grid.folder / "configs/experiment/small.yaml")["training"]
    rate = "actor_rollout_ref.actor.optim.lr=2.0e-4"
    grid.change("experiment/small.yaml", training={**training, "overrides": [*training["overrides"], rate]})
    output = finish(grid, TRAINED)
    assert f"job {job} was submitted for other inputs" in output
    assert len(grid.submitted("train")) == 2
    config = read_yaml(grid.results / RUN / "config.yaml")
    assert read_json(grid.folder / TRAINED)["config_sha256"] == config_sha256(config)
    (last,) = check_trained(grid, ["completed"])
    assert last["slurm_job_id"] == grid.submitted("train")[-1].split()[0] != job


def test_an_sbatch_that_fails_three_times_in_ten_costs_no_attempt(grid):
    grid.change("evaluation/demo.yaml", shards={"problems": 2, "samples": None})
    grid.forget(BASE)
    grid.environment = {**grid.environment, "SBATCH_FAILS": "147"}
    # one by one, so that sbatch is called often
    finish(grid, EVALUATED, "--retries", "0", "--slurm-resume-array-jobs", "none")
    refused = [line for line in grid.submitted() if line.startswith("refused")]
    # the first and the fourth call, for two shards and their grading
    assert len(refused) == 2 and len(grid.submitted()) == 5

"""What becomes of the jobs of a real Slurm where Snakemake ends, or where Slurm gives no answer."""

import os
import re
import signal
import time

import pytest
from grid import AUTO_RUN, AUTO_TRAINED, BASE, EVALUATED, RUN, TRAINED, called, wait_until
from slurm_jobs import described, freeze, programs, send

from bupo.files import read_json, read_yaml
from bupo.identity import config_sha256

pytestmark = [pytest.mark.slow, pytest.mark.slurm]

AWAY_S = 5
"""Some looks of Snakemake's at the queue."""


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_no_job_and_no_task_of_an_array(grid):
    grid.shards(2)
    grid.forget(RUN, BASE)
    with called(grid, TRAINED, EVALUATED, fails=True) as call:
        call.wait_until(lambda: len(grid.queued("RUNNING")) == 3)
        os.killpg(call.process.pid, signal.SIGINT)
    assert "on user request" in call.output, call.output[-4000:]
    assert len(grid.submitted("train")) == len(grid.submitted("sample")) == 1
    # cancelled jobs take a moment to end
    wait_until(lambda: not grid.queued())


def test_a_killed_snakemake_finds_its_jobs_again_but_for_one_of_another_configuration(grid):
    grid.shards(2)
    grid.forget(RUN, AUTO_RUN, BASE)
    wanted = (TRAINED, AUTO_TRAINED, EVALUATED)
    grid.kill_when(lambda: len(grid.queued("RUNNING")) == 4, *wanted)
    jobs = set(grid.queued())
    for job in jobs:
        freeze(job)
    (other,) = (line.split()[0] for line in grid.submitted("train") if "bupo" in line)
    grid.change("experiment/small.yaml", auto_layer={"fallback": 4})
    with called(grid, *wanted) as call:
        call.wait_until(lambda: {*re.findall(r"already, as job (\w+)", grid.told)} == jobs - {other})
        for job in jobs - {other}:
            send(signal.SIGCONT, job)
    assert f"job {other} was submitted for other inputs" in call.output
    assert [len(grid.submitted(rule)) for rule in ("train", "sample", "grade")] == [3, 1, 1]
    assert job_of(grid, RUN) in jobs
    assert job_of(grid, AUTO_RUN) == grid.submitted("train")[-1].split()[0]
    config = read_yaml(grid.results / AUTO_RUN / "config.yaml")
    assert config["bupo"]["layer"] == 4
    assert read_json(grid.folder / AUTO_TRAINED)["config_sha256"] == config_sha256(config)


def job_of(grid, run):
    """The one job that trained a run."""
    (call,) = read_json(grid.results / run / "done.json")["jobs"]
    return call["slurm_job_id"]


def test_tasks_of_an_array_end_by_themselves_while_slurm_gives_no_answer(grid, cluster):
    grid.shards(2)
    grid.forget(BASE)
    with called(grid, EVALUATED, "--retries", "0", "--latency-wait", "2") as call:
        call.wait_until(lambda: len(grid.queued("RUNNING")) == 2)
        first, second = sorted(grid.queued())
        freeze(first)
        # before its step begins, a job needs the answer
        call.wait_until(lambda: programs(second))
        with cluster.away():
            call.wait_until(lambda: list((grid.results / BASE).glob("shard-*.parquet")))
            time.sleep(AWAY_S)
        call.wait_until(lambda: described(second)["JobState"] == "COMPLETED")
        send(signal.SIGCONT, first)
    assert len(grid.submitted("sample")) == len(grid.submitted("grade")) == 1

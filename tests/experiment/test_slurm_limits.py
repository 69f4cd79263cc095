"""The time limits of Slurm's partitions, as a stand-in for sinfo tells them."""

import math
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm.submit_string import get_submit_command

from bupo.console.slurm import Failed, time_limit, time_limits
from snakemake_executor_plugin_slurm_resume.limits import TimeLimits

LISTED = "cpu*|1:00:00\\nshort|30:00\\nlong|2-12:00:00\\nfree|infinite\\n"


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """Put a stand-in for sinfo, of this script, first on the path."""

    def put(script):
        path = tmp_path / "sinfo"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def job(**resources):
    return SimpleNamespace(rule=SimpleNamespace(name="train"), resources=ResourceList(fromdict=resources))


@pytest.fixture
def limits(sinfo):
    sinfo(f"printf '{LISTED}'")
    said = []
    found = TimeLimits(SimpleNamespace(warning=said.append))
    return found, said


def test_limits_are_minutes_and_the_default_partition_is_known(sinfo):
    sinfo(f"[ \"$*\" = '--noheader --format=%P|%l' ] && printf '{LISTED}'")
    found = time_limits()
    assert found == {"cpu": 60, "": 60, "short": 30, "long": 3600, "free": math.inf}
    assert [time_limit(found, name) for name in (None, "short,long", "short,free", "unknown")] == [
        60,
        3600,
        math.inf,
        math.inf,
    ]


@pytest.mark.parametrize(
    ("asked", "partition", "got"), [(90, None, 60), (60, None, 60), (90, "short", 30), (9000, "free", 9000)]
)
def test_sbatch_is_asked_for_no_more_than_the_partition_allows(limits, asked, partition, got):
    found, said = limits
    named = {"slurm_partition": partition} if partition else {}
    wanted = job(runtime=asked, mem_mb=1, cpus_per_task=1, threads=1, **named)
    wanted.threads = 1
    found.bound(wanted)
    words = dict.fromkeys(("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir"), "")
    assert f" -t {got} " in get_submit_command(wanted, words)
    assert len(said) == (got < asked)


def test_a_partition_that_bounds_is_told_once_with_the_key(limits):
    found, said = limits
    for _ in range(2):
        found.bound(job(runtime=90, slurm_partition="short", gres="gpu:8"))
    assert said == [
        "Partition short allows 0.5 h, and train asks for 1.5 h: its jobs get what is allowed. "
        "Set that partition's max_hours in configs/cluster.yaml."
    ]


def test_without_an_answer_nothing_is_bounded_and_that_is_told(sinfo):
    sinfo("echo no controller >&2; exit 1")
    assert isinstance(time_limits(), Failed)
    said = []
    wanted = job(runtime=90)
    TimeLimits(SimpleNamespace(warning=said.append)).bound(wanted)
    assert wanted.resources.runtime == 90 and "no controller" in said[0]

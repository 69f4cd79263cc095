"""Whether the doctor sees jobs that Slurm would refuse, from stand-ins for its commands."""

import json
import re
import shlex
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from snakemake.iocontainers import ResourceList
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string

from bupo.console import ask as asking
from bupo.console import check_slurm, doctor
from bupo.console.nodes import Lack, Need, lacking, read_nodes
from bupo.experiment.resolve import plan_of
from bupo.files import read_yaml

SIZE = ["models.train=[qwen3_4b]", "models.analyse=[qwen3_4b]", "analysis.snapshots=null"]
ON_GPUS = ["training.engine=gpu", *SIZE, "grid=[{method: grpo}]"]
NODES = (
    "echo 'cpu*|up|4|2-00:00:00|(null)|32|192000'\n"
    "echo 'small|up|2|1-00:00:00|gpu:a100:4(S:0-1)|48|256000'\n"
    "echo 'big|up|3|1-00:00:00|gpu:h100:8,gpu:mig:2|96|1024000'\n"
    "echo 'old|down|9|1-00:00:00|gpu:v100:8|128|2048000'"
)
ANSWERS = {"squeue": "exit 0", "scancel": "exit 0"}
REFUSAL = "echo 'allocation failure: Requested node configuration is not available' >&2; exit 1"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def change(project, **partitions):
    path = project / "configs/cluster.yaml"
    path.write_text(yaml.safe_dump({**read_yaml(path), "partitions": partitions}))


def planned(project, *overrides):
    return plan_of("demo", [*ON_GPUS, *overrides], project / "configs")


def jobs(project, *overrides):
    return check_slurm.jobs(planned(project, *overrides), read_nodes())


def test_nodes_are_read_with_their_gpus(programs):
    programs(sinfo=f"[ \"$1 $3\" = '--exact --format=%P|%a|%D|%l|%G|%c|%m' ] && {{ {NODES}\n}}")
    cpu, small, big, old = read_nodes()
    assert (cpu.partition, cpu.default, cpu.gpus, cpu.cpus, cpu.mem_mb) == ("cpu", True, {}, 32, 192000)
    assert (small.gpus, small.gpus_of(None), small.gpus_of("h100")) == ({"a100": 4}, 4, 0)
    assert (big.gpus, big.gpus_of(None), big.default) == ({"h100": 8, "mig": 2}, 10, False)
    assert not old.up
    assert str(big) == "big 3 nodes 1-00:00:00 gpu:h100:8 gpu:mig:2"


@pytest.mark.parametrize(
    ("need", "lack"),
    [
        (Need(None, 4, 0, None, 32, 180000), None),
        (Need("small", 2, 4, "a100", 48, 256000), None),
        (Need("small,big", 1, 8, None, 96, 1000000), None),
        (
            Need(None, 1, 1, None, 8, 1024),
            Lack("no node of the default partition cpu has a GPU", "name", "small or big", ("small", "big")),
        ),
        (Need("fast", 1, 0, None, 8, 1024), "there is no partition fast"),
        (Need("old", 1, 8, None, 8, 1024), Lack("partition old is not up", "name", "big", ("big",))),
        (
            Need("small", 1, 4, "h100", 8, 1024),
            Lack("partition small has no GPUs of the kind h100", "gpu", "a100", ("big",)),
        ),
        (
            Need("small", 1, 8, None, 8, 1024),
            Lack("a node of partition small has at most 4 GPUs", "gpus", "at most 4", ("big",)),
        ),
        (
            Need("big", 1, 8, "h100", 128, 1024),
            Lack(
                "a node of partition big that has as many GPUs has at most 96 processors",
                "cpus",
                "at most 96",
                (),
            ),
        ),
        (
            Need(None, 1, 0, None, 8, 1024 * 1024),
            Lack(
                "a node of the default partition cpu has at most 187 GB of memory",
                "mem_gb",
                "at most 187",
                (),
            ),
        ),
        (Need("big", 4, 8, None, 8, 1024), Lack("partition big has 3 such nodes", "nodes", "at most 3", ())),
    ],
)
def test_what_a_partition_lacks(programs, need, lack):
    programs(sinfo=NODES)
    found = lacking(need, read_nodes())
    assert (found.what if isinstance(lack, str) else found) == lack


def test_gpus_of_another_partition_do_not_count(project, bupo, hub, programs):
    """As the file comes, jobs with GPUs go to a default partition that has none."""
    refused = f'case "$*" in *--gres=*) {REFUSAL};; esac'
    programs(sinfo=NODES, sbatch=refused, **ANSWERS)
    status, said = bupo("doctor", "--json", "demo", "--overrides", *ON_GPUS)
    found = [check for check in json.loads(said)["checks"] if check["name"] == "Slurm's jobs"]
    assert status == 1 and all(check["status"] == "failed" for check in found)
    assert found[0]["found"] == (
        "entropy of qwen3_4b needs 1 GPU, 8 processors and 64 GB; Slurm refuses it (Requested node "
        "configuration is not available): no node of the default partition cpu has a GPU"
    )
    training = next(check for check in found if check["found"].startswith("train of"))
    assert training["remedy"] == "set partitions.gpu.name in configs/cluster.yaml to big"
    change(project, gpu={"name": "big", "gpu": "h100"})
    programs(sbatch=f'case "$*" in *--partition=big*--gres=gpu:h100:*) exit 0;; esac; {REFUSAL}')
    (check,) = jobs(project)
    assert check.status == "ok" and check.found == "sbatch --test-only takes 3 of 3 kinds of jobs"


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        ("allocation failure: Invalid account or account/partition combination specified", "set account in"),
        ("allocation failure: Invalid qos specification", "set qos in"),
        ("allocation failure: Invalid feature specification", "set constraint in"),
        (
            "sbatch: unrecognized option '--bogus'\nTry \"sbatch --help\" for more information",
            "mend the options",
        ),
        ("allocation failure: Requested node configuration is not available", "sinfo -R shows"),
    ],
)
def test_what_nodes_do_not_tell_is_told_in_slurms_words(project, programs, refusal, remedy):
    change(project, gpu={"name": "big"})
    shown = "".join(f"echo {shlex.quote(line)} >&2\n" for line in refusal.splitlines())
    programs(sinfo=NODES, sbatch=f'case "$*" in *--gres=gpu:8*) {shown} exit 1;; esac', **ANSWERS)
    _, check = jobs(project)
    assert check.remedy.startswith(remedy)
    said = refusal.splitlines()[0].removeprefix("allocation failure: ")
    assert check.found == (
        f"train of qwen3_4b needs 8 GPUs, 64 processors and 256 GB; Slurm refuses it ({said})"
    )


def test_a_job_is_asked_for_as_it_is_submitted(project):
    change(
        project, gpu={"name": "big", "gpu": "h100", "qos": "high", "constraint": "a&b", "options": "--nice=3"}
    )
    long = {"-t": "--time", "-C": "--constraint", "-p": "--partition", "-A": "--account"}
    for overrides in ([], ['training.overrides=["trainer.nnodes=2"]'], ["training.engine=cpu"]):
        plan = planned(project, *overrides)
        for rule, model in check_slurm.submitted(plan):
            asked = plan.resources.of(rule, model)
            job = SimpleNamespace(resources=ResourceList(fromdict=asked), threads=1)
            given = dict.fromkeys(("run_uuid", "slurm_logfile", "comment_str", "account", "workdir"), "")
            name = asked.get("slurm_partition")
            call = get_submit_command(job, {**given, "partition": f"-p {name}" if name else ""})
            parts = shlex.split(call.partition("--comment ''")[2] + set_gres_string(job))
            joined = " ".join(long.get(part, part) for part in parts).replace("--mem ", "--mem=")
            for option in long.values():
                joined = joined.replace(f"{option} ", f"{option}=")
            assert sorted(check_slurm.words(asked)) == sorted(joined.split())


def test_a_job_is_asked_for_with_no_more_time_than_it_will_get(project):
    asked = planned(project).resources.of("train", "qwen3_4b")
    assert "--time=960" in check_slurm.words(asked)
    assert "--time=60" in check_slurm.words(asked, {"": 60.0})


def test_the_jobs_are_those_that_snakemake_submits(project):
    def rules(*overrides):
        return {rule for rule, _ in check_slurm.submitted(plan_of("demo", [*overrides], project / "configs"))}

    assert rules(*ON_GPUS) == {"entropy", "train", "evaluate"}
    assert rules() == {"model", "entropy", "train", "flow", "evaluate"}
    path = project / "configs/evaluation/demo.yaml"
    path.write_text(path.read_text().replace("shards: {problems: 1,", "shards: {problems: 2,"))
    assert rules() == {"model", "entropy", "train", "flow", "sample", "grade"}
    path = project / "configs/analysis/demo.yaml"
    path.write_text(re.sub(r"batch_size: \d+", "batch_size: 4", path.read_text()))
    assert {"entropy_shard", "entropy_merge"} <= rules("analysis.shards=2")


def test_all_answers_together_are_waited_for_as_long_as_one(project, bupo, hub, programs, monkeypatch):
    """Every program hangs: none is waited for beyond the one moment at which the doctor gives up."""
    change(project, gpu={"name": "big"})
    hangs = "exec sleep 600"
    folder = programs(sinfo=NODES, squeue=hangs, scancel=hangs, sbatch=hangs, nvidia_smi=hangs, python=hangs)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setattr(doctor, "LIMIT_S", 3.0)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    store = project / "results/mlflow/mlflow.db"
    store.parent.mkdir(parents=True)
    store.touch()
    ends = {}
    run = subprocess.run

    def noted(command, *, timeout, **rest):
        ends[command[0].rpartition("/")[2]] = time.monotonic() + timeout
        return run(command, timeout=timeout, **rest)

    monkeypatch.setattr(asking.subprocess, "run", noted)
    status, said = bupo("doctor", "--json", "--network", "demo", "--overrides", *ON_GPUS)
    assert status == 1
    assert set(ends) == {"sinfo", "squeue", "nvidia-smi", "python"}
    assert max(ends.values()) - min(ends.values()) < 1, ends
    checks = {check["name"]: check for check in json.loads(said)["checks"]}
    assert "did not answer within" in checks["Slurm's queue"]["found"]
    # the queue took all the time that there was
    assert "did not answer in time" in checks["Slurm's jobs"]["found"]
    assert "did not answer within" in checks["MLflow"]["found"]

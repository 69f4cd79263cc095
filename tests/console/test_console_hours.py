"""Whether the doctor sees jobs that ask for more time than their partition allows."""

import json

from bupo.console import check_machine
from bupo.console.check import Check
from bupo.experiment.cluster import Cluster, Job, Size
from bupo.experiment.resources import Resources

SLURM = {"squeue": "exit 0", "scancel": "exit 0", "sbatch": "exit 0"}


def asking(hours):
    """What jobs ask for, with so many hours for a training on GPUs."""
    small, train = Job(cpus=1, mem_gb=1, hours=1), Job(cpus=1, mem_gb=1, hours=hours, gpus=8)
    size = Size(model=small, entropy=small, train=train, sample=small)
    return Resources(Cluster(small=small, sizes={"s": size}), {"m": size}, {})


def test_hours_that_a_partition_does_not_allow_have_their_remedy(programs):
    programs(sinfo="echo 'all*|12:00:00'", **SLURM)
    assert check_machine.hours(asking(12), [("train", "m")]) == [
        Check("Slurm's time limits", "ok", "allow the hours that the jobs ask for")
    ]
    (check,) = check_machine.hours(asking(16), [("train", "m"), ("grade", "m")])
    assert check.found == ("partition * (the default) allows 12 hours, and more are asked for: train of m 16")
    assert (
        check.status == "failed" and "partitions.gpu.max_hours" in check.remedy and "to 12," in check.remedy
    )


def test_an_experiments_jobs_are_looked_at(project, bupo, programs, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    programs(sinfo="echo 'all*|10:00'", **SLURM)
    checks = {check["name"]: check for check in json.loads(bupo("doctor", "--json", "demo")[1])["checks"]}
    assert "train of tiny_qwen3 1" in checks["Slurm's time limits"]["found"]

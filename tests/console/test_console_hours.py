"""Whether the doctor sees jobs that ask for more time than their partition allows."""

import json

import pytest

from bupo.console import check_slurm
from bupo.console.check import Check
from bupo.console.nodes import read_nodes
from bupo.experiment.resolve import plan_of

SLURM = {"squeue": "exit 0", "scancel": "exit 0", "sbatch": "exit 0"}
ON_GPUS = ["training.engine=gpu", "models.train=[qwen3_4b]", "models.analyse=[]", "analysis.snapshots=null"]


@pytest.mark.parametrize(("limit", "failed"), [("16:00:00", False), ("12:00:00", True)])
def test_hours_that_a_partition_does_not_allow_have_their_remedy(project, programs, limit, failed):
    programs(sinfo=f"echo 'all*|up|4|{limit}|gpu:8|64|512000'", **SLURM)
    plan = plan_of("demo", [*ON_GPUS, "grid=[{method: grpo}]"], project / "configs")
    (check,) = check_slurm.hours(plan, read_nodes())
    if not failed:
        assert check == Check("Slurm's time limits", "ok", "allow the hours that the jobs ask for")
        return
    assert check.found == (
        "partition * (the default) allows 12 hours, and more are asked for: train of qwen3_4b 16"
    )
    assert check.status == "failed"
    assert "partitions.gpu.max_hours" in check.remedy and "to 12," in check.remedy


def test_an_experiments_jobs_are_looked_at(project, bupo, programs, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    programs(sinfo="echo 'all*|up|1|10:00|(null)|8|64000'", **SLURM)
    checks = {check["name"]: check for check in json.loads(bupo("doctor", "--json", "demo")[1])["checks"]}
    assert "train of tiny_qwen3 1" in checks["Slurm's time limits"]["found"]

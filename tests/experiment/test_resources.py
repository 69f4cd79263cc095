"""What jobs ask the cluster for."""

import pytest
from cluster_file import change

from bupo.errors import UserError
from bupo.experiment.resolve import plan_of, resolve
from bupo.experiment.resources import KINDS
from bupo.files import read_yaml

ON_GPUS = ["training.engine=gpu", "models.train=[qwen3_4b]", "models.analyse=[qwen3_4b]"]
TWO_NODES = 'training.overrides=["trainer.nnodes=2", "trainer.n_gpus_per_node=4"]'


def resources(project, *overrides, name="demo"):
    return plan_of(name, list(overrides), project / "configs").resources


def test_a_tiny_model_asks_for_no_gpu_and_leaves_the_place_to_slurm(project):
    asked = resources(project).of("evaluate", "tiny_qwen3")
    assert asked == {"mem_mb": 3072, "runtime": 30, "cpus_per_task": 1}


def test_every_rule_that_is_submitted_asks(project, root):
    rules = "".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    asking = {part.split('"')[0] for part in rules.split('PLAN.resources.by_job("')[1:]}
    assert asking == set(KINDS)
    found = resources(project)
    for rule in asking:
        assert found.of(rule, "tiny_qwen3")["mem_mb"] > 0


def test_attempts_ask_for_more_up_to_what_there_is(project):
    first, second, third = (resources(project).of("train", "tiny_qwen3", n) for n in (1, 2, 3))
    assert (first["mem_mb"], second["mem_mb"], third["mem_mb"]) == (3072, 4608, 6912)
    assert (first["runtime"], second["runtime"], third["runtime"]) == (60, 90, 135)
    change(project, "partitions", "cpu", to={"max_mem_gb": 4, "max_hours": 1.25})
    third = resources(project).of("train", "tiny_qwen3", 3)
    assert (third["mem_mb"], third["runtime"]) == (4096, 75)


def test_gpus_are_those_of_each_node_and_go_to_their_partition(project):
    change(project, "partitions", "gpu", to={"name": "a100", "gpu": "a100", "options": "--exclusive"})
    change(project, "account", to="lab")
    asked = resources(project, *ON_GPUS).of("train", "qwen3_4b")
    assert (asked["gres"], asked["slurm_partition"], asked["slurm_account"]) == ("gpu:a100:8", "a100", "lab")
    assert asked["slurm_extra"] == "--open-mode=append --exclusive" and "nodes" not in asked
    small = resources(project, *ON_GPUS).of("grade", "qwen3_4b")
    assert "gres" not in small and "slurm_partition" not in small and small["slurm_account"] == "lab"


def test_a_run_trains_on_what_its_job_asks_for(project):
    change(project, "sizes", "4b", "train", "gpus", to=2)
    resolve({"experiment": "demo", "overrides": ON_GPUS}, project / "configs")
    spec = read_yaml("results/demo/spec/runs/qwen3_4b/grpo/seed1.yaml")
    assert spec["overrides"][:2] == ["trainer.nnodes=1", "trainer.n_gpus_per_node=2"]


def test_a_job_asks_for_what_an_override_trains_on(project):
    asked = resources(project, *ON_GPUS, TWO_NODES).of("train", "qwen3_4b")
    assert (asked["nodes"], asked["gres"]) == (2, "gpu:4")
    assert "--ntasks-per-node=1" in asked["slurm_extra"].split()
    assert "tasks" not in asked, "beside GPUs the executor takes it for tasks of each GPU"


def test_nodes_without_gpus_have_a_task_each(project):
    asked = resources(project, 'training.overrides=["trainer.nnodes=2"]').of("train", "tiny_qwen3")
    assert (asked["nodes"], asked["tasks"]) == (2, 2) and "gres" not in asked


def test_without_gpus_a_run_is_not_told_of_any(project):
    assert resources(project).overrides == {"tiny_qwen3": [], "tiny_llama": []}


def test_snakemake_gets_values_but_where_jobs_differ(project):
    change(project, "sizes", "8b", "sample", to={"cpus": 16, "mem_gb": 64, "hours": 8, "gpus": 1})
    found = resources(
        project, *ON_GPUS, "models.train=[qwen3_4b,qwen3_8b]", "models.analyse=[qwen3_4b,qwen3_8b]"
    ).by_job("sample")
    assert found["gres"] == "gpu:1"

    class Wildcards:
        model = "qwen3_8b"

    assert found["cpus_per_task"](Wildcards, 1) == 16
    assert found["mem_mb"](Wildcards, 2) == 1.5 * 64 * 1024
    assert "slurm_partition" not in found and "nodes" not in found


def test_a_size_changes_nothing_that_is_made(project):
    resolve({"experiment": "demo"}, project / "configs")
    before = {path: path.stat().st_mtime_ns for path in project.glob("results/**/*.yaml")}
    model = project / "configs/model/tiny_qwen3.yaml"
    model.write_text(model.read_text().replace("size: tiny", "size: 4b"))
    resolve({"experiment": "demo"}, project / "configs")
    assert {path: path.stat().st_mtime_ns for path in project.glob("results/**/*.yaml")} == before


def test_a_model_without_a_size_is_told_what_to_write(project):
    path = project / "configs/model/qwen3_4b.yaml"
    path.write_text(path.read_text().replace("size: 4b\n", ""))
    with pytest.raises(UserError) as error:
        resources(project, *ON_GPUS)
    assert str(error.value).endswith(
        "configs/model/qwen3_4b.yaml: size is missing; it should be one of the sizes in "
        f"{project}/configs/cluster.yaml: tiny, 4b, 8b, 14b, 32b."
    )


def test_a_size_that_the_cluster_does_not_know(project):
    path = project / "configs/model/qwen3_4b.yaml"
    path.write_text(path.read_text().replace("size: 4b", "size: 70b"))
    with pytest.raises(
        UserError, match=r"size = '70b' is not in .*cluster\.yaml; it has: tiny, 4b, 8b, 14b, 32b\.$"
    ):
        resources(project, *ON_GPUS)


def test_a_training_on_gpus_that_asks_for_none(project):
    change(project, "sizes", "4b", "train", "gpus", to=0)
    with pytest.raises(UserError, match=r"sizes\.4b\.train\.gpus = 0 should be at least 1 for qwen3_4b"):
        resources(project, *ON_GPUS)


def test_a_model_that_is_spread_over_more_gpus_than_its_job_has(project):
    path = project / "configs/evaluation/demo.yaml"
    path.write_text(path.read_text() + "vllm: {tensor_parallel_size: 4}\n")
    with pytest.raises(
        UserError, match=r"sizes\.4b\.sample\.gpus = 1 should be at least 4, over which .* qwen3_4b"
    ):
        resources(project, *ON_GPUS)
    assert resources(project).of("evaluate", "tiny_qwen3")["cpus_per_task"] == 1

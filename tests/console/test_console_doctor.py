import json
import shutil
import socket
import sqlite3
from collections import namedtuple
from importlib import metadata

import pytest
from paper_grid import write_grid

from bupo.console import check_inputs, check_machine, check_slurm, check_software
from bupo.console.ask import Failed, ask
from bupo.console.check_inputs import Repository, asked_hub, cached
from bupo.console.check_software import Devices
from bupo.files import write_text

REVISION = "1cfa9a7208912126459214e8b04321603b3df60c"
NVIDIA = "echo 'NVIDIA A100-SXM4-80GB, 81920 MiB, 550.54'"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def doctor(bupo, *arguments):
    status, said = bupo("doctor", "--json", *arguments)
    found = json.loads(said)
    assert status == (1 if found["failed"] else 0)
    return found, {check["name"]: check for check in found["checks"]}


def test_a_machine_that_can_run_the_demo(project, bupo, hub, programs):
    programs()
    found, checks = doctor(bupo)
    assert found["failed"] == 0
    assert {checks[name]["status"] for name in ("Python", "disk", "loopback", "MLflow", "experiment")} == {
        "ok"
    }
    assert checks["Slurm"]["status"] == checks["GPUs"]["status"] == "not applicable"
    assert checks["model tiny_qwen3"]["found"] == "is built here"
    assert checks["data arithmetic"]["status"] == "not applicable"
    assert not (project / "results").exists()
    said = bupo("doctor")[1]
    assert said.endswith("\n\nNothing failed.\n")
    assert "not applicable: Slurm: no sbatch here" in said


def test_what_a_large_grid_lacks_here_has_its_remedy(project, bupo, hub, programs):
    programs()
    write_grid(project)
    found, checks = doctor(bupo, "grid")
    assert found["failed"] >= 1
    assert checks["GPUs"]["status"] == "failed" and "needs 8" in checks["GPUs"]["found"]
    assert checks["model qwen3_4b"]["status"] == "not checked"
    assert checks["model qwen3_4b"]["remedy"].startswith("bupo doctor --network")
    assert all(check["remedy"] for check in found["checks"] if check["status"] in ("failed", "not checked"))


def test_a_mistake_in_the_experiment_is_one_check(project, bupo, hub, programs):
    programs()
    found, checks = doctor(bupo, "demo", "--overrides", "training.engine=tpu")
    assert (found["failed"], checks["experiment"]["status"]) == (1, "failed")
    assert "training.engine = 'tpu' is not known" in checks["experiment"]["found"]


# ------------------------------------------------------------------ the environment


def test_another_python_is_told(monkeypatch):
    monkeypatch.setattr(check_software, "PYTHON", (3, 12))
    assert "should be 3.12" in check_software.python().found


def test_pins_are_compared_with_what_is_installed(tmp_path):
    good, bad = tmp_path / "good.lock", tmp_path / "bad.lock"
    installed = {name: metadata.version(name) for name in ("pyyaml", "pydantic")}
    good.write_text("# made by hand\n" + "".join(f"{name}=={v}+cpu\n" for name, v in installed.items()))
    assert check_software.pinned(tmp_path).found == f"all 2 of {good}"
    good.unlink()
    bad.write_text("pyyaml==0.0.1\nnot-a-package[extra]==1.0\npydantic==" + installed["pydantic"] + "\n")
    check = check_software.pinned(tmp_path)
    assert check.status == "failed"
    assert f"pyyaml is {installed['pyyaml']}, not 0.0.1" in check.found
    assert "not-a-package 1.0 is not installed" in check.found and "2 of the 3" in check.found
    bad.unlink()
    assert check_software.pinned(tmp_path).status == "not applicable"


def test_of_several_locks_the_one_that_fits_counts(tmp_path):
    (tmp_path / "a.lock").write_text("pyyaml==0.0.1\n")
    (tmp_path / "b.lock").write_text(f"pyyaml=={metadata.version('pyyaml')}\n")
    assert check_software.pinned(tmp_path).found.endswith("b.lock")


def test_a_plugin_that_verl_does_not_know_is_told(monkeypatch):
    assert check_software.plugin().status == "ok"
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())
    assert check_software.plugin().status == "failed"


@pytest.mark.parametrize(
    ("found", "wanted", "slurm", "status", "words"),
    [
        (Devices(Failed("no nvidia-smi")), 0, False, "not applicable", "runs on the CPU"),
        (Devices(Failed("no nvidia-smi")), 8, True, "not applicable", "Slurm's nodes"),
        (Devices(Failed("no nvidia-smi")), 8, False, "failed", "needs 8"),
        (Devices([]), 8, False, "failed", "nvidia-smi lists none"),
        (
            Devices(["A100"] * 8, ("2.11.0", "12.8", 8)),
            8,
            False,
            "ok",
            "8 (A100), PyTorch 2.11.0 with CUDA 12.8",
        ),
        (Devices(["A100"] * 8, ("2.13.0+cpu", None, 0)), 8, False, "failed", "PyTorch 2.13.0+cpu sees 0"),
        (Devices(["A100"] * 2, ("2.11.0", "12.8", 2)), 8, False, "failed", "needs 8"),
        (Devices(["A100"] * 2, ("2.11.0", "12.8", 2)), 8, True, "ok", "2 (A100)"),
        (Devices(["A100"], Failed("it did not answer")), 1, False, "failed", "PyTorch cannot say"),
    ],
)
def test_gpus(found, wanted, slurm, status, words):
    check = check_software.gpus(found, wanted, slurm)
    assert check.status == status and words in check.found
    assert bool(check.remedy) == (status == "failed")


def test_gpus_are_asked_for_by_their_driver_and_by_pytorch(programs):
    programs()
    assert isinstance(check_software.devices().driver, Failed)
    programs(nvidia_smi=NVIDIA)
    found = check_software.devices()
    assert found.driver == ["NVIDIA A100-SXM4-80GB, 81920 MiB, 550.54"]
    assert len(found.torch) == 3  # the real PyTorch of this environment


# ------------------------------------------------------------------ the machine


def test_slurms_partitions(programs):
    rest = {"squeue": "echo '7|7|RUNNING||node1'", "scancel": "exit 0", "sbatch": "exit 0"}
    programs(sinfo="echo 'gpu*|up|4|3-00:00:00|gpu:a100:8'\necho 'old|down|1|1:00|(null)'", **rest)
    (partitions, queue), nodes = check_slurm.slurm()
    assert partitions.found.endswith("gpu* 4 nodes 3-00:00:00 gpu:a100:8")
    assert [each.partition for each in nodes] == ["gpu", "old"]
    assert queue.found == "1 job of yours"
    programs(sinfo="echo 'old|down|1|1:00|(null)'")
    (check,), nodes = check_slurm.slurm()
    assert (check.status, check.found, nodes) == ("failed", "no partition is up", [])
    programs(sinfo="echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    (check,), _ = check_slurm.slurm()
    assert "Unable to contact slurm controller" in check.found and "scontrol ping" in check.remedy


def test_half_of_slurm_is_told(programs):
    programs(sbatch="exit 0", squeue="exit 0")
    (check,), _ = check_slurm.slurm()
    assert check.found == "sbatch is here, but not sinfo, scancel"


def test_a_command_that_hangs_is_not_waited_for(programs):
    programs(sinfo="exec sleep 60")
    assert ask(["sinfo"], timeout=0.2) == Failed("sinfo did not answer within 0.2 s")


def test_disk(tmp_path, monkeypatch):
    assert check_machine.disk(tmp_path / "not/there/yet", 1.0).status == "ok"
    usage = namedtuple("usage", "total used free")(10, 9, 1e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check = check_machine.disk(tmp_path, 2e12)
    assert check.status == "failed" and "1 GB free" in check.found and "takes 2 TB" in check.found
    monkeypatch.setattr(check_machine.os, "access", lambda *_: False)
    assert "cannot be written" in check_machine.disk(tmp_path, 1.0).found


def test_a_port(monkeypatch):
    assert check_machine.port().status == "ok"

    def refused(*_):
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket.socket, "bind", refused)
    assert "Cannot assign requested address" in check_machine.port().found


def test_an_mlflow_store(project):
    assert check_machine.store("sqlite:///results/mlflow/mlflow.db").status == "ok"
    assert not (project / "results").exists()
    broken = project / "broken.db"
    broken.write_text("this is no database, however long it is" * 99)
    check = check_machine.store(f"sqlite:///{broken}")
    assert check.status == "failed" and f"mv {broken}" in check.remedy
    assert "is not known" in check_machine.store("ftp://x").found


def test_a_store_that_mlflow_knows_opens_and_another_does_not(project):
    from bupo.tracking.store import open_store

    with open_store("sqlite:///good.db"):
        pass
    assert check_machine.store("sqlite:///good.db").status == "ok"
    with sqlite3.connect(project / "other.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('of the future')")
    check = check_machine.store("sqlite:///other.db")
    assert check.status == "failed" and "mlflow db upgrade" in check.remedy


def test_a_server_that_is_not_there_is_told():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    check = check_machine.store(address)
    assert check.status == "failed" and check.remedy.startswith("start the server")


# ------------------------------------------------------------------ models and data


def test_the_cache_of_the_hub(hub):
    item = Repository("model x", "Qwen/Qwen3-4B", REVISION, "model", "*.safetensors")
    folder = hub / "models--Qwen--Qwen3-4B"
    write_text(folder / "snapshots" / REVISION / "config.json", "{}")
    assert not cached(item)
    write_text(folder / "snapshots" / REVISION / "model-00001.safetensors", "")
    assert cached(item)
    branch = Repository("model x", "Qwen/Qwen3-4B", "main", "model", "*.safetensors")
    assert not cached(branch)
    write_text(folder / "refs/main", REVISION)
    assert cached(branch)


def test_the_hub_is_asked_once_for_all(monkeypatch):
    items = [Repository(f"model {n}", f"a/{n}", "main", "model", "*") for n in ("x", "y")]
    asked = []

    def answer(command, *_, **__):
        asked.append(json.loads(command[-1]))
        return '[null, "404 Not Found."]\n'

    monkeypatch.setattr(check_inputs, "ask", answer)
    good, bad = asked_hub(items)
    assert asked == [[["a/x", "main", "model"], ["a/y", "main", "model"]]]
    assert (good.status, bad.status) == ("ok", "failed")
    assert "404 Not Found" in bad.found and "local.path" in bad.remedy
    assert asked_hub([]) == []


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (check,) = asked_hub([Repository("data d", "a/b", "main", "dataset", "*")])
    assert check.status == "failed" and "does not give it" in check.found
    assert "data.source=local" in check.remedy


def test_local_models_and_sets(project, bupo, hub, programs):
    programs()
    model = project / "configs/model/qwen3_4b.yaml"
    model.write_text(
        f"name: qwen3_4b\nlayers: 36\nsize: 4b\nprompt: qwen\nlocal: {{path: {project}/model}}\n"
    )
    write_grid(project)
    local = ["data.source=local", f"data.directory={project}/sets", "data.benchmarks=[aime24]"]
    arguments = ["grid", "--overrides", *local]
    _, checks = doctor(bupo, *arguments)
    assert checks["model qwen3_4b"]["status"] == checks["data aime24"]["status"] == "failed"
    assert "aime24/qwen_test.jsonl is not there" in checks["data aime24"]["found"]
    write_text(project / "model/config.json", "{}")
    write_text(project / "model/model.safetensors", "")
    write_text(project / "sets/aime24/qwen_test.jsonl", "")
    _, checks = doctor(bupo, *arguments)
    assert checks["model qwen3_4b"]["status"] == checks["data aime24"]["status"] == "ok"
    _, checks = doctor(
        bupo,
        "grid",
        "--overrides",
        "data.train=[math_parquet,deepmath5k]",
        "grid=[{method: grpo, train_set: deepmath5k}]",
    )
    assert "has no hub section" in checks["data math_parquet"]["found"]
    assert checks["data deepmath5k"]["status"] == "not checked"
    assert "is not in the cache" in checks["data deepmath5k"]["found"]

"""What a run on several nodes is made of: its nodes, their addresses and ports, and what they are told."""

import os
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bupo.errors import UserError
from bupo.identity import config_sha256
from bupo.training import network
from bupo.training.allocation import SRUN, find_allocation
from bupo.training.network import BLOCK, FIXED, claimed_ports, interface_of, own_address
from bupo.training.node_orders import Orders, told
from bupo.training.ray_node import node_environment, ray_start

HERE = socket.gethostname()


def config(nnodes=2, ray_init=None, **cluster):
    return {
        "trainer": {"nnodes": nnodes, "n_gpus_per_node": 1, "device": "cpu"},
        "bupo": {"cluster": cluster},
        "ray_kwargs": {"ray_init": {"num_cpus": None, "runtime_env": {}, **(ray_init or {})}},
    }


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A job on nodes a1 and a2, seen from a step of it on a2: squeue and scontrol tell of it."""
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\ntest \"$*\" = '--noheader --jobs=7 --format=%N' && cat $0.told\n")
    (tmp_path / "squeue.told").write_text("a[1-2]\n")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\ntest "$*" = "show hostnames a[1-2]" && printf "a1\\na2\\n"\n')
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    for file in (squeue, scontrol, srun):
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "a2")  # the step's
    monkeypatch.setenv("SLURMD_NODENAME", "a2")
    return tmp_path / "squeue.told"


@pytest.fixture
def no_slurm(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("slurm")
def test_the_nodes_of_a_slurm_job_are_reached_by_a_step_of_it():
    allocation = find_allocation(config(), "c")
    assert (allocation.here, allocation.others, allocation.launcher) == ("a2", ("a1",), SRUN)
    assert allocation.command("a1", ["python", "-m", "x"])[-4:] == ["--nodelist=a1", "python", "-m", "x"]


def test_where_squeue_does_not_answer_the_environment_does(slurm, monkeypatch):
    slurm.unlink()
    monkeypatch.setenv("SLURM_JOB_NODELIST", "a[1-2]")
    assert find_allocation(config(), "c").others == ("a1",)


@pytest.mark.parametrize(
    ("nnodes", "nodelist", "name", "message"),
    [
        (3, "a[1-2]", "a2", r"trainer\.nnodes = 3, but the Slurm job has 2: a1, a2"),
        (2, "b", "a2", r"scontrol does not say which nodes the Slurm job's, 'b', are"),
        (2, "a[1-2]", "login", r"this machine, login, is none of the nodes of the Slurm job: a1, a2"),
    ],
)
def test_another_allocation_than_asked_for_is_refused(slurm, monkeypatch, nnodes, nodelist, name, message):
    slurm.write_text(nodelist)
    monkeypatch.setenv("SLURMD_NODENAME", name)
    with pytest.raises(UserError, match=message):
        find_allocation(config(nnodes), "c")


@pytest.mark.usefixtures("no_slurm")
@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({}, r"nnodes = 2, but this is no Slurm job; bupo\.cluster\.nodes should name"),
        ({"nodes": ["127.0.0.2"]}, r"nnodes = 2, but bupo\.cluster\.nodes has 1: 127\.0\.0\.2"),
        ({"nodes": ["127.0.0.2", "127.0.0.2"]}, r"bupo\.cluster\.nodes has 1"),
        (
            {"nodes": ["192.0.2.77", "127.0.0.2"]},
            r"should name this machine, .*, first, and not 192\.0\.2\.77",
        ),
        ({"nodes": ["127.0.0.2", "b"]}, r"bupo\.cluster\.launcher = None should be a command such as"),
        ({"nodes": ["127.0.0.2", "b"], "launcher": "env x"}, r"launcher = 'env x' should be"),
        ({"nodes": ["127.0.0.2", "b"], "launcher": "nowhere {command}"}, r"launcher = 'nowhere"),
        ({"nodes": ["127.0.0.2", "b"], "launcher": "'{command}"}, r"launcher = .* should be"),
        ({"wait_s": 0}, r"bupo\.cluster: wait_s"),
        ({"host": "b"}, r"bupo\.cluster: .*host"),
    ],
)
def test_mistakes_in_the_nodes_are_told(cluster, message):
    with pytest.raises(UserError, match=message):
        find_allocation(config(**cluster), "c")


def test_resources_of_a_node_are_those_of_rays_start():
    cluster = {"nodes": ["127.0.0.2", "b"], "launcher": "{command}"}
    given = find_allocation(config(ray_init={"num_gpus": 2}, **cluster), "c").resources
    assert given == {"num_gpus": 2}
    with pytest.raises(UserError, match=r"ray_kwargs\.ray_init\.labels is not known"):
        find_allocation(config(ray_init={"labels": {}}, **cluster), "c")


def test_a_run_is_checked_against_its_nodes_before_it_starts(compose, no_slurm):
    from bupo.training.settings import check

    with pytest.raises(UserError, match="this is no Slurm job"):
        check(compose("trainer.nnodes=2", "bupo.single_process=false"), "c")


def test_the_nodes_are_no_part_of_a_runs_identity(compose):
    assert config_sha256(compose("bupo.cluster.nodes=[a,b]")) == config_sha256(compose())


def test_no_two_runs_have_a_port_in_common():
    with claimed_ports() as one, claimed_ports() as two:
        blocks = [set(range(ports.first, ports.first + BLOCK)) for ports in (one, two)]
        assert not blocks[0] & blocks[1]
        for ports, block in zip((one, two), blocks, strict=True):
            fixed = {ports.of(name) for name in FIXED}
            workers = set(range(ports.workers[0], ports.workers[1] + 1))
            assert len(fixed) == len(FIXED) and not fixed & workers
            assert fixed | workers | {ports.first} == block
            with socket.socket() as other, pytest.raises(OSError):
                other.bind(("", ports.first))


def test_a_block_with_a_port_in_use_is_passed_over():
    with claimed_ports() as ports:
        taken = ports.of("node_manager")
    with socket.socket() as other:
        other.bind(("", taken))
        with claimed_ports() as ports:
            assert not ports.first <= taken < ports.first + BLOCK


def test_a_machine_without_free_ports_is_told(monkeypatch):
    monkeypatch.setattr(network, "LAST_PORT", network.FIRST_PORT + BLOCK - 1)
    with socket.socket() as other:
        with suppress(OSError):  # or somebody else's run has it
            other.bind(("", network.FIRST_PORT))
        with pytest.raises(UserError, match="has no free block of 1024 ports"), claimed_ports():
            pass


def test_addresses_and_interfaces():
    assert own_address("127.0.0.2", "127.0.0.3") == "127.0.0.2"
    assert own_address(HERE, "127.0.0.1") == "127.0.0.1"  # the way to itself
    assert own_address(HERE, "elsewhere", interface="lo") == "127.0.0.1"
    assert interface_of("127.0.0.1") == interface_of("127.0.0.2") == "lo"
    with pytest.raises(UserError, match=r"bupo\.cluster\.interface = 'ib9' should be .* has .*lo"):
        own_address(HERE, "elsewhere", interface="ib9")
    with pytest.raises(UserError, match="no interface with the address 192"):
        interface_of("192.0.2.77")
    with pytest.raises(UserError, match=r"finds no way to the node nowhere\.invalid"):
        own_address(HERE, "nowhere.invalid")


def orders(**changes):
    values = {
        "node": "a1",
        "towards": "a2",
        "gcs": None,
        "token": "secret",
        "out": "/out",
        "cwd": "/",
        "device": "cpu",
        "interface": None,
        "resources": {"num_gpus": 1},
        "environment": {"NCCL_DEBUG": "INFO"},
    }
    return Orders(**{**values, **changes})


def test_every_port_of_ray_is_said_and_the_password_is_not(tmp_path):
    with claimed_ports() as ports:
        head = ray_start(orders(), "192.0.2.1", ports, tmp_path)
        other = ray_start(orders(gcs="192.0.2.1:10241"), "192.0.2.2", ports, tmp_path)
        for words in (head, other):
            said = dict(word[2:].split("=") for word in words if "=" in word)
            assert {
                "node-manager-port",
                "object-manager-port",
                "runtime-env-agent-port",
                "dashboard-agent-listen-port",
                "dashboard-agent-grpc-port",
                "metrics-export-port",
                "min-worker-port",
                "max-worker-port",
            } <= set(said)
            assert said["num-gpus"] == "1"
            assert "secret" not in shlex.join(words)
        assert f"--port={ports.of('gcs')}" in head and "--include-dashboard=false" in head
        assert "--address=192.0.2.1:10241" in other


def test_environment_of_a_node(monkeypatch, tmp_path):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.delenv("NCCL_SOCKET_IFNAME", raising=False)
    with claimed_ports() as ports:
        plain = node_environment(orders(), "ib0", ports, tmp_path)
        chosen = node_environment(orders(environment={"NCCL_SOCKET_IFNAME": "ib1"}), "ib0", ports, tmp_path)
    assert (plain["GLOO_SOCKET_IFNAME"], plain["NCCL_SOCKET_IFNAME"]) == ("ib0", "=ib0")
    assert chosen["NCCL_SOCKET_IFNAME"] == "ib1"
    assert (plain["RAY_AUTH_MODE"], plain["RAY_AUTH_TOKEN"]) == ("token", "secret")
    assert (plain["VERL_PLATFORM"], plain["NCCL_DEBUG"]) == ("cpu", "INFO")


def test_orders_are_one_line():
    line = orders().to_line()
    assert line.endswith("\n") and line.count("\n") == 1
    assert Orders.from_line(line) == orders()


def node(sent, **options):
    return subprocess.run(
        [sys.executable, "-m", "bupo.training.ray_node"],
        input=sent,
        capture_output=True,
        text=True,
        **options,
    )


def test_a_node_tells_what_it_cannot_do(tmp_path):
    result = node(orders(out=str(tmp_path / "nowhere")).to_line())
    assert result.returncode == 1
    lines = ["Welcome to a1", *result.stdout.splitlines()]
    assert [told(line) for line in lines] == [
        {},
        {"error": f"node a1 does not see {tmp_path / 'nowhere'}, which should be on a shared disk."},
    ]


def test_a_node_without_orders_does_nothing(tmp_path):
    assert node("", env={**os.environ, "TMPDIR": str(tmp_path)}).returncode == 0
    assert list(Path(tmp_path).iterdir()) == []

"""Runs on several nodes, which are two addresses of this machine here."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
from safetensors.torch import load_file

from bupo.files import to_yaml
from bupo.training.checkpoints import POINTER

pytestmark = pytest.mark.slow

BUPO = ("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=1", "bupo.single_process=false")
STEPS = ("trainer.total_training_steps=2", "trainer.save_freq=1")
TWO_NODES = (
    "trainer.nnodes=2",
    "bupo.cluster.nodes=[127.0.0.2,127.0.0.3]",
    "bupo.cluster.launcher='{command}'",
)
MARK = "BUPO_TEST_RUN"


def started(compose, folder, *overrides):
    """A run under way; every process that it starts has its folder in the environment."""
    folder.mkdir(exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(to_yaml(compose(*BUPO, *STEPS, *overrides)))
    return subprocess.Popen(
        [sys.executable, "-m", "bupo.training", "--config", str(config), "--out", str(folder / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1", MARK: str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def of_run(folder):
    """Processes of a run, whatever became of their parents."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass
    return found


def listening(folder):
    """Addresses at which processes of a run listen."""
    found = [
        each.laddr.ip
        for process in of_run(folder)
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    ]
    assert found
    return set(found)


def metrics(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if not key.startswith(("timing", "perf", "actor/perf"))}
        for line in lines
    ]


def until(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to that")


@pytest.fixture(scope="module")
def two_nodes(compose, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nodes") / "two"
    process = started(compose, folder, *TWO_NODES)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder, errors


def test_two_nodes_train_as_two_ranks_of_one_node_do_and_leave_nothing(two_nodes, compose, tmp_path):
    folder, errors = two_nodes
    assert "[nodes] 2/2 joined" in errors
    assert of_run(folder) == []
    one = started(compose, tmp_path / "one", "trainer.n_gpus_per_node=2")
    until(lambda: (tmp_path / "one/run/metrics.jsonl").exists() or one.poll() is not None)
    # Ray's own ports ask for the password wherever they are; verl's do not
    assert all(ip in ("0.0.0.0", "::") or ip.startswith("127.") for ip in listening(tmp_path / "one"))
    _, errors = one.communicate()
    assert one.returncode == 0, errors
    for ours, theirs in zip(metrics(folder / "run"), metrics(tmp_path / "one/run"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    ours, theirs = (load_file(out / "run/model/model.safetensors") for out in (folder, tmp_path / "one"))
    assert ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)


def test_a_killed_run_leaves_no_process_on_any_node_and_goes_on(two_nodes, compose, tmp_path):
    folder = tmp_path / "run"
    process = started(compose, folder, *TWO_NODES)
    until(lambda: (folder / "run/checkpoints" / POINTER).exists() or process.poll() is not None)
    assert {"127.0.0.2", "127.0.0.3"} <= {
        word.removeprefix("--node_ip_address=") for one in of_run(folder) for word in one.cmdline()
    }
    process.kill()
    process.communicate()
    until(lambda: not of_run(folder))
    again = started(compose, folder, *TWO_NODES)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert "going on after step 1" in errors
    assert metrics(folder / "run") == metrics(two_nodes[0] / "run")


def test_a_node_that_is_lost_ends_the_run_with_its_name(compose, tmp_path):
    """Right after it joined, when Ray would wait for ever for a node with a free GPU."""
    folder = tmp_path / "run"
    process = started(compose, folder, *TWO_NODES)
    for line in process.stderr:
        if "2/2 joined" in line:
            break
    raylet = next(
        one
        for one in of_run(folder)
        if one.name() == "raylet" and "--node_ip_address=127.0.0.3" in one.cmdline()
    )
    raylet.kill()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "RuntimeError: Ray on node 127.0.0.3 ended with status" in errors
    assert of_run(folder) == []


def test_a_node_whose_launcher_fails_is_named(compose, tmp_path):
    process = started(
        compose, tmp_path / "run", *TWO_NODES[:2], "bupo.cluster.launcher='sh -c \"exit 3\" {command}'"
    )
    _, errors = process.communicate()
    assert process.returncode == 2
    assert errors.splitlines()[-1] == "error: Node 127.0.0.3: what started it ended with status 3."
    assert of_run(tmp_path / "run") == []

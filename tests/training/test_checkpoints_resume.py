"""A training that was stopped, again and again, ends as if it had not been."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
import torch
from warm_trainer import WarmTrainer

from bupo.files import sha256_file, to_yaml
from bupo.training.integrity import seal, verify
from bupo.training.safe_loading import ENVIRONMENT, allow
from bupo.training.stopping import STATUS

pytestmark = pytest.mark.slow

SWITCH, LAST = 3, 5  # iterative_steps and the last step
TIMES = ("timing", "perf", "actor/perf")
SETTINGS = (
    "algorithm=bupo",
    "++bupo.layer=2",
    f"++bupo.iterative_steps={SWITCH}",
    f"trainer.total_training_steps={LAST}",
    "trainer.save_freq=100",  # what is saved in between is saved because the run stops
    "bupo.snapshot_every=2",
)


@pytest.fixture(scope="module")
def warm():
    trainer = WarmTrainer()
    yield trainer
    trainer.close()


@pytest.fixture(scope="module")
def config(compose, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(to_yaml(compose(*SETTINGS)))
    return path


@pytest.fixture(scope="module")
def whole(warm, config, tmp_path_factory):
    """The run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert warm.train(config, out)[0] == 0
    return out


def metrics(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith(TIMES)} for line in lines]


def models(out):
    files = [file for folder in ("model", "snapshots") for file in (out / folder).rglob("*.*")]
    return {str(file.relative_to(out)): sha256_file(file) for file in files}


def state(out, step, process_group):
    """Weights, optimiser, learning rate and place in the data, after ``step``."""
    allow()
    folder = out / f"checkpoints/global_step_{step}"
    verify(folder)
    parts = {file.name.split("_")[0]: torch.load(file, weights_only=True) for file in folder.rglob("*.pt")}
    return {"data": parts.pop("data.pt"), "lr": parts.pop("extra")["lr_scheduler"], **parts}


def equal(one, other):
    """Bitwise, through dictionaries, lists and sharded tensors."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, torch.distributed.tensor.DTensor):
        return one.placements == other.placements and torch.equal(one.to_local(), other.to_local())
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and (one == other or (one != one and other != other))


def same(whole, out, process_group):
    assert metrics(out) == metrics(whole)
    assert models(out) == models(whole)
    expected, found = (state(run, LAST, process_group) for run in (whole, out))
    assert {"model", "optim", "data", "lr"} <= expected.keys()
    assert equal(expected, found)


def test_the_comparison_sees_a_changed_bit(whole, process_group):
    expected, found = (state(whole, LAST, process_group) for _ in range(2))
    assert equal(expected, found)
    weight = next(iter(found["optim"]["state"].values()))["exp_avg"].to_local().view(-1)
    weight[0] = math.nextafter(weight[0].item(), math.inf) * 1.001
    assert not equal(expected, found)


@pytest.mark.parametrize("step", [SWITCH - 1, SWITCH, SWITCH + 1])
def test_stopped_once(warm, config, whole, tmp_path, process_group, step):
    out = tmp_path / "run"
    status, said = warm.train(config, out, signal=step)
    assert status == STATUS
    assert f"after step {step} of {LAST}, SIGTERM" in said
    assert [line["step"] for line in metrics(out)] == list(range(1, step + 1))
    assert not (out / "done.json").exists()
    status, said = warm.train(config, out)
    assert status == 0
    assert f"going on after step {step}" in said
    same(whole, out, process_group)


def test_stopped_after_every_step(warm, config, whole, tmp_path, process_group):
    out = tmp_path / "run"
    for step in range(1, LAST):
        assert warm.train(config, out, signal=step)[0] == STATUS
    assert warm.train(config, out)[0] == 0
    same(whole, out, process_group)


def test_the_end_of_the_time_stops_too(warm, config, tmp_path):
    out = tmp_path / "run"
    status, said = warm.train(config, out, deadline=2)
    assert status == STATUS
    assert "after step 2 of 5, 0 s are left, and another step may need" in said
    assert verify(out / "checkpoints/global_step_2").step == 2


def test_no_step_is_begun_where_no_time_is_left(warm, compose, tmp_path):
    config, out = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(to_yaml(compose(*SETTINGS, "bupo.time_limit_s=1")))
    status, said = warm.train(config, out)
    assert status == STATUS
    assert "after step 0 of 5" in said
    assert not (out / "checkpoints").exists() or not list((out / "checkpoints").glob("global_step_*"))


def test_a_stop_in_the_last_step_changes_nothing(warm, config, whole, tmp_path, process_group):
    out = tmp_path / "run"
    assert warm.train(config, out, signal=LAST)[0] == 0
    same(whole, out, process_group)


def test_killed_in_the_middle_of_saving(warm, config, whole, tmp_path, process_group):
    out = tmp_path / "run"
    assert warm.train(config, out, signal=2)[0] == STATUS
    for during, kill in (("save", 0.0), ("save", 0.01), ("commit", 0.0)):
        assert warm.train(config, out, signal=4, during=during, kill=kill)[0] == -signal.SIGKILL
    status, said = warm.train(config, out)
    assert status == 0
    assert re.search("going on after step [24]", said)
    same(whole, out, process_group)


def test_a_damaged_checkpoint_is_named_and_costs_its_steps_alone(
    warm, config, whole, tmp_path, process_group
):
    out = tmp_path / "run"
    for step in (2, 4):
        assert warm.train(config, out, signal=step)[0] == STATUS
    path = out / "checkpoints/global_step_4/actor/optim_world_size_1_rank_0.pt"
    path.write_bytes(path.read_bytes()[:1000])
    status, said = warm.train(config, out)
    assert status == 0
    assert f"{path.parents[1]}: actor/{path.name} has 1000 bytes and not " in said
    assert "going on after step 2" in said
    same(whole, out, process_group)


def test_code_in_a_checkpoint_stops_the_run_before_it_is_loaded(warm, config, whole, tmp_path):
    out = shutil.copytree(whole, tmp_path / "run")
    for name in ("done.json", ".manifest.json"):
        (out / name).unlink()
    folder = out / f"checkpoints/global_step_{LAST}"
    identity = verify(folder).identity
    torch.save({"_snapshot": os.system}, folder / "data.pt")
    seal(folder, LAST, identity)
    status, said = warm.train(config, out)
    assert status == 2
    assert "data.pt: it holds posix.system, which could run when it is loaded" in said


def test_with_ray_a_signal_to_every_process_stops_it_too(whole, compose, tmp_path):
    """As Slurm sends it; the same command goes on, and no process of Ray loads what could run."""
    config, out = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(to_yaml(compose(*SETTINGS, "bupo.single_process=false")))
    command = [sys.executable, "-m", "bupo.training", "--config", str(config), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (out / "metrics.jsonl").exists() or not (out / "metrics.jsonl").read_text():
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            (raylet,) = (child for child in children if child.name() == "raylet")  # whose children train
            assert raylet.environ().items() >= ENVIRONMENT.items()
            for child in [psutil.Process(process.pid), *children]:
                with suppress(psutil.NoSuchProcess):
                    child.send_signal(signal.SIGTERM)
            said = process.communicate()[1]
        finally:
            process.kill()
    assert process.returncode == STATUS, said
    step = len(metrics(out))
    assert 1 <= step < LAST
    assert f"stopped: after step {step} of {LAST}, SIGTERM; the same command goes on" in said
    assert not psutil.wait_procs(children, timeout=10)[1]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"going on after step {step}" in result.stderr
    assert metrics(out) == metrics(whole)
    assert models(out) == models(whole)

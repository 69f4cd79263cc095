"""Whole runs through the command line: what they leave, kill and resume, Ray."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from bupo.files import sha256_file, to_yaml

TIMES = ("timing", "perf", "actor/perf")

pytestmark = pytest.mark.slow


def command(config, out):
    return [sys.executable, "-m", "bupo.training", "--config", str(config), "--out", str(out)]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def train(config, out):
    result = subprocess.run(command(config, out), env=environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result


def metrics(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith(TIMES)} for line in lines]


def models(out):
    """The hash of every file of the trained model and of its snapshots, by the model's place in the run."""
    files = [
        path for folder in ("model", "snapshots") for path in (out / folder).rglob("*") if path.is_file()
    ]
    return {str(path.relative_to(out)): sha256_file(path) for path in files}


def same(one, other):
    assert metrics(one) == metrics(other)
    assert models(one) == models(other)


def written(compose, folder, *overrides):
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    config.write_text(to_yaml(compose(*overrides)))
    return config


BUPO = ("algorithm=bupo", "++bupo.layer=2", "++bupo.iterative_steps=2")
KEPT = ("bupo.snapshot_every=1", "trainer.save_freq=2")


@pytest.fixture(scope="module")
def bupo(compose, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bupo")
    config = written(compose, folder / "config", *BUPO, *KEPT)
    result = train(config, folder / "run")
    return config, folder / "run", result


def test_a_run_leaves_what_it_says(bupo):
    _, out, result = bupo
    assert "/seed1] 4/4 steps, the full policy" in result.stderr
    assert result.stdout == ""
    done = json.loads((out / "done.json").read_text())
    assert done["steps"] == 4
    assert done["files"]["metrics.jsonl"] == sha256_file(out / "metrics.jsonl")
    assert {"model/model.safetensors", "model/config.json", "model/tokenizer.json"} <= set(done["files"])
    assert not (out / "checkpoints").exists()
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "done.json",
        "log.txt",
        "metrics.jsonl",
        "model",
        "snapshots",
    ]


def test_snapshots_have_the_form_of_the_model_and_are_the_models_between(bupo):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, out, _ = bupo
    done = json.loads((out / "done.json").read_text())
    steps = {str(step): f"snapshots/step-{step:06d}" for step in (1, 2, 3)}
    assert done["snapshots"] == steps | {"4": "model"}
    assert sorted(path.name for path in (out / "snapshots").iterdir()) == [
        f"step-{step:06d}" for step in (1, 2, 3)
    ]
    assert models(out).items() <= done["files"].items()
    tensors = [load_file(out / folder / "model.safetensors") for folder in done["snapshots"].values()]
    for folder, values in zip(steps.values(), tensors, strict=False):
        assert {path.name for path in (out / folder).iterdir()} == {
            path.name for path in (out / "model").iterdir()
        }
        assert {name: value.dtype for name, value in values.items()} == {
            name: value.dtype for name, value in tensors[-1].items()
        }
        assert AutoModelForCausalLM.from_pretrained(out / folder).config.num_hidden_layers == 4
        assert AutoTokenizer.from_pretrained(out / folder).decode([5, 6]) == "12"
    upper, lower = "model.layers.3.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(tensors[0][upper], tensors[1][upper])  # phase 1 trains layers 1 and 2 alone
    assert not torch.equal(tensors[1][upper], tensors[2][upper])
    assert all(not torch.equal(one[lower], next_[lower]) for one, next_ in pairwise(tensors))


def test_fewer_snapshots_train_nothing(bupo, compose, tmp_path):
    config, out, _ = bupo
    before = (out / "metrics.jsonl").stat().st_mtime_ns
    fewer = written(compose, tmp_path / "config", *BUPO, *KEPT, "bupo.snapshot_every=2")
    assert "done already" in train(fewer, out).stdout
    assert list(json.loads((out / "done.json").read_text())["snapshots"]) == ["2", "4"]
    assert "done already" in train(config, out).stdout
    assert list(json.loads((out / "done.json").read_text())["snapshots"]) == ["1", "2", "3", "4"]
    assert (out / "metrics.jsonl").stat().st_mtime_ns == before


def test_metrics_say_which_policy_they_are_of(bupo):
    lines = metrics(bupo[1])
    assert [line["bupo/phase"] for line in lines] == [1, 1, 2, 2]
    assert [line["bupo/layer"] for line in lines] == [2, 2, 4, 4]
    both = {"bupo/entropy_internal", "bupo/entropy_full", "bupo/kl_full_to_internal"}
    assert all(both <= set(line) for line in lines)
    assert ["bupo/observed_responses" in line for line in lines] == [False, False, True, True]
    assert all("actor/entropy" not in line for line in lines)
    assert all(
        {"bupo/truncated", "bupo/repetition", "bupo/perplexity_full", "reward/no_box"} <= set(line)
        for line in lines
    )


def test_a_second_call_does_nothing(bupo):
    config, out, _ = bupo
    before = (out / "done.json").stat().st_mtime_ns
    assert train(config, out).stdout == f"{out}: done already\n"
    assert (out / "done.json").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def grpo(compose, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpo")
    train(written(compose, folder / "config", "trainer.total_training_steps=2"), folder / "run")
    return folder / "run"


def test_a_run_that_was_not_kept_is_trained_again_for_its_snapshots(grpo, compose, tmp_path):
    out = shutil.copytree(grpo, tmp_path / "run")
    kept = written(compose, tmp_path / "config", "trainer.total_training_steps=2", "bupo.snapshot_every=1")
    assert "done, but without the snapshots of step 1; " in train(kept, out).stderr
    same_training = metrics(out) == metrics(grpo) and models(grpo).items() <= models(out).items()
    assert same_training and (out / "snapshots/step-000001/model.safetensors").exists()


def test_killed_again_and_again_it_ends_as_if_nothing_had_been(bupo, tmp_path):
    config, whole, _ = bupo
    out, kills = tmp_path / "run", 0
    lines = out / "metrics.jsonl"
    for wanted in (1, 3):
        process = subprocess.Popen(command(config, out), env=environment(), start_new_session=True)
        while process.poll() is None and (not lines.exists() or len(lines.read_text().splitlines()) < wanted):
            time.sleep(0.01)
        time.sleep(0.1 * kills)  # at another point of the step each time
        os.killpg(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    assert not (out / "done.json").exists()
    assert "going on after step" in train(config, out).stderr
    same(whole, out)
    assert json.loads((out / "done.json").read_text())["resumed_from"] > 0


def test_a_second_process_waits_and_takes_over(bupo, tmp_path):
    config, whole, _ = bupo
    out = tmp_path / "run"
    first = subprocess.Popen(command(config, out), env=environment(), start_new_session=True)
    while not (out / "log.txt").exists():
        time.sleep(0.05)
    pipe = subprocess.PIPE
    second = subprocess.Popen(command(config, out), env=environment(), stderr=pipe, text=True)
    assert "another process is training this run; waiting for it" in second.stderr.readline()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second.communicate()
    assert second.returncode == 0
    same(whole, out)


def test_a_run_whose_done_file_was_removed_is_not_trained_again(bupo):
    config, out, _ = bupo
    before = (out / "done.json").read_text(), (out / "metrics.jsonl").stat().st_mtime_ns
    (out / "done.json").unlink()
    assert "done already" in train(config, out).stdout
    assert ((out / "done.json").read_text(), (out / "metrics.jsonl").stat().st_mtime_ns) == before


def test_another_configuration_starts_anew(bupo, compose, tmp_path):
    out = tmp_path / "run"
    first = written(compose, tmp_path / "first", "trainer.total_training_steps=1")
    second = written(compose, tmp_path / "second", "trainer.total_training_steps=1", "bupo.seed=2")
    train(first, out)
    before = metrics(out)
    train(second, out)
    assert [line["step"] for line in metrics(out)] == [1]
    assert metrics(out) != before


def test_with_ray_and_without_snapshots_the_numbers_are_the_same(bupo, compose, tmp_path):
    config = written(compose, tmp_path / "config", *BUPO, "bupo.single_process=false")
    train(config, tmp_path / "run")
    assert metrics(tmp_path / "run") == metrics(bupo[1])
    assert models(tmp_path / "run").items() <= models(bupo[1]).items()
    assert not (tmp_path / "run/snapshots").exists()


def test_two_ranks_train_the_same(bupo, compose, tmp_path):
    """Sharded parameters: the same rollouts and log-probs; the mini-batches are made of other halves."""
    config = written(
        compose,
        tmp_path / "config",
        *BUPO,
        "bupo.single_process=false",
        "trainer.n_gpus_per_node=2",
        "trainer.total_training_steps=2",
        "bupo.snapshot_every=1",
    )
    train(config, tmp_path / "run")
    one, two = metrics(bupo[1])[0], metrics(tmp_path / "run")[0]
    snapshots = [
        load_file(out / "snapshots/step-000001/model.safetensors") for out in (bupo[1], tmp_path / "run")
    ]
    for name, value in snapshots[0].items():  # whole tensors, not a rank's part; one update's worth apart
        torch.testing.assert_close(snapshots[1][name], value, atol=0.05, rtol=0)
    assert two["critic/score/mean"] == one["critic/score/mean"]
    assert two["response_length/mean"] == one["response_length/mean"]
    assert two["actor/grad_norm"] == pytest.approx(one["actor/grad_norm"], rel=0.2)
    assert two["bupo/entropy_internal"] == pytest.approx(one["bupo/entropy_internal"], rel=1e-4)

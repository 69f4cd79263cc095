import gc
import json
import os

import pytest

from bupo.files import read_json, sha256_file, to_yaml
from bupo.identity import config_sha256
from bupo.training.jobs import FILE, Jobs, gpus, recorded
from bupo.training.run import run
from bupo.training.stopping import Stopped


def config(folder, **trainer):
    (folder / "train.parquet").write_text("problems")
    return {
        "bupo": {"model": "m", "cell": "c", "seed": 1},
        "trainer": {
            "device": "cuda",
            "nnodes": 2,
            "n_gpus_per_node": 4,
            "total_training_steps": 3,
            **trainer,
        },
        "data": {"train_files": [str(folder / "train.parquet")], "val_files": []},
        "actor_rollout_ref": {"model": {"path": "m"}},
        "critic": {"model": {"path": "m"}},
    }


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_a_call_says_where_and_with_what_it_trains(out, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.delenv("SLURM_JOB_PARTITION", raising=False)
    values = config(tmp_path)
    Jobs.begin(out, values, "identity")
    (entry,) = read_json(out / FILE)
    assert (entry["slurm_job_id"], entry["partition"], entry["gpus"]) == ("77", None, 8)
    assert entry["train_files"] == {values["data"]["train_files"][0]: sha256_file(tmp_path / "train.parquet")}
    assert (entry["ended"], entry["outcome"], entry["config_sha256"]) == (None, None, "identity")
    assert {"torch", "verl", "python"} <= set(entry["versions"])


def test_it_ends_as_it_is_left(out, tmp_path):
    for error, outcome in ((Stopped("a signal"), "stopped"), (KeyboardInterrupt(), "failed")):
        with pytest.raises(type(error)), recorded(out, config(tmp_path), "identity"):
            raise error
        last = read_json(out / FILE)[-1]
        assert (last["outcome"], last["ended"] >= last["started"]) == (outcome, True)
    with recorded(out, config(tmp_path), "identity") as jobs:
        entries = jobs.end("completed")
    assert [entry["outcome"] for entry in entries] == ["stopped", "failed", "completed"]
    assert read_json(out / FILE) == entries


def test_a_call_that_was_killed_ended_with_its_last_line(out, tmp_path):
    Jobs.begin(out, config(tmp_path), "identity")
    for name, seconds in (("metrics.jsonl", 1_700_000_000), ("log.txt", 1_700_000_060)):
        (out / name).write_text("")
        os.utime(out / name, (seconds, seconds))
    Jobs.begin(out, config(tmp_path), "identity")
    killed, running = read_json(out / FILE)
    assert (killed["outcome"], killed["ended"]) == ("killed", "2023-11-14T22:14:20+00:00")
    assert running["ended"] is None


def test_a_call_that_left_no_line_took_no_time(out, tmp_path):
    Jobs.begin(out, config(tmp_path), "identity")
    Jobs.begin(out, config(tmp_path), "identity")
    killed = read_json(out / FILE)[0]
    assert killed["ended"] == killed["started"]


def test_calls_of_another_configuration_are_dropped(out, tmp_path):
    Jobs.begin(out, config(tmp_path), "one").end("completed")
    Jobs.begin(out, config(tmp_path), "other")
    assert [entry["config_sha256"] for entry in read_json(out / FILE)] == ["other"]


def test_a_cpu_is_no_gpu(tmp_path):
    assert gpus(config(tmp_path, device="cpu")) == 0


@pytest.fixture
def without_training(monkeypatch):
    """A training that only writes its lines, or ends as it is told."""
    errors = []

    def train(values, out, where, mirror, checkpoints, stopping):
        if errors:
            raise errors.pop()
        (out / "metrics.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3)))
        (out / "model").mkdir()

    monkeypatch.setattr("bupo.training.launch.train", train)
    monkeypatch.setattr("bupo.training.settings.check", lambda config, where: None)
    yield errors
    gc.enable()  # the run leaves that to the training


def test_done_json_has_every_call(without_training, tmp_path):
    values, out = config(tmp_path, device="cpu"), tmp_path / "run"
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(values))
    without_training.append(Stopped("no time"))
    with pytest.raises(Stopped):
        run(file, out)
    assert not (out / "done.json").exists()
    run(file, out)
    done = read_json(out / "done.json")
    assert [job["outcome"] for job in done["jobs"]] == ["stopped", "completed"]
    assert (
        {job["config_sha256"] for job in done["jobs"]} == {config_sha256(values)} == {done["config_sha256"]}
    )
    assert done["jobs"] == read_json(out / FILE)
    before = (out / FILE).stat().st_mtime_ns
    run(file, out)  # done already: nobody worked on it
    assert (out / FILE).stat().st_mtime_ns == before

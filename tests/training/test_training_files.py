"""metrics.jsonl and checkpoints: whole or absent, whenever the run was killed."""

import json

import numpy as np
import pytest

from bupo.training.checkpoints import Checkpoints
from bupo.training.metrics import MetricsFile, keep_until, read_metrics
from bupo.training.run import _start


class Loggers:
    def __init__(self):
        self.logged = []

    def log(self, data, step, backend=None):
        self.logged.append((step, data))

    def finish(self, exit_code=0):
        self.exit_code = exit_code


def stage(checkpoints, step):
    folder = checkpoints.staging / f"global_step_{step}" / "actor"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_text(str(step))


def test_metrics_are_plain_numbers_and_go_to_verls_loggers_too(tmp_path):
    loggers, told = Loggers(), []
    metrics = MetricsFile(tmp_path / "metrics.jsonl", loggers, lambda step, line: told.append(step))
    values = {"b": np.float64(0.5), "a": 1, "nan": float("nan"), "text": "x", "c": np.int64(3)}
    metrics.log(data=values, step=1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "a": 1, "b": 0.5, "c": 3}\n'
    assert told == [1]
    assert loggers.logged == [(1, values)]
    metrics.finish(exit_code=1)
    assert loggers.exit_code == 1


def test_lines_after_the_checkpoint_and_a_torn_line_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3)) + '{"step": 4, "x"')
    assert [line["step"] for line in keep_until(path, 2)] == [1, 2]
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert keep_until(path, 0) == []
    assert path.read_text() == ""


def test_no_file_no_metrics(tmp_path):
    assert keep_until(tmp_path / "metrics.jsonl", 3) == []
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_only_committed_checkpoints_count(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.prepare("identity") == 0
    stage(checkpoints, 1)
    checkpoints.commit(1)
    stage(checkpoints, 2)  # killed before its metrics were written
    assert checkpoints.prepare("identity") == 1
    assert not checkpoints.staging.exists()
    assert (checkpoints.root / "latest_checkpointed_iteration.txt").read_text() == "1"


def test_the_last_one_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.prepare("identity")
    for step in (1, 2, 3):
        stage(checkpoints, step)
        checkpoints.commit(step)
    assert checkpoints.steps() == [3]
    assert (checkpoints.folder(3) / "actor" / "model.pt").read_text() == "3"


def test_a_step_without_checkpoint_changes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.prepare("identity")
    checkpoints.commit(1)
    assert checkpoints.steps() == []


def test_a_pointer_that_was_not_written_is_made_up_for(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.prepare("identity")
    stage(checkpoints, 4)
    checkpoints.commit(4)
    (checkpoints.root / "latest_checkpointed_iteration.txt").unlink()  # killed between rename and pointer
    assert checkpoints.prepare("identity") == 4
    assert (checkpoints.root / "latest_checkpointed_iteration.txt").read_text() == "4"


def test_a_run_whose_metrics_were_taken_away_starts_anew(tmp_path):
    checkpoints, metrics = Checkpoints(tmp_path / "checkpoints"), tmp_path / "metrics.jsonl"
    checkpoints.prepare("identity")
    stage(checkpoints, 2)
    checkpoints.commit(2)
    metrics.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    assert _start(checkpoints, metrics, "identity") == 2
    metrics.write_text('{"step": 2}\n')
    assert _start(checkpoints, metrics, "identity") == 0
    assert checkpoints.steps() == []
    assert metrics.read_text() == ""


@pytest.mark.parametrize("identity", ["other", ""])
def test_checkpoints_of_another_configuration_are_not_gone_on_from(tmp_path, identity):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.prepare("identity")
    stage(checkpoints, 4)
    checkpoints.commit(4)
    assert checkpoints.prepare(identity) == 0
    assert checkpoints.steps() == []

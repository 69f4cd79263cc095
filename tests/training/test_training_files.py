"""metrics.jsonl: whole lines, each step once, whenever the run was killed."""

import json

import numpy as np

from bupo.training.metrics import MetricsFile, keep_until, read_metrics


class Loggers:
    def __init__(self):
        self.logged = []

    def log(self, data, step, backend=None):
        self.logged.append((step, data))

    def finish(self, exit_code=0):
        self.exit_code = exit_code


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

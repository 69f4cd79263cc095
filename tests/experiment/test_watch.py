import io
import logging

import pytest

from bupo.experiment.watch import DEFAULT_SECONDS, Watch


def event(name, **values):
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, None, None, None)
    record.__dict__.update(event=name, **values)
    return record


def test_the_estimate_uses_measured_times_then_expected_ones():
    stream = io.StringIO()
    watch = Watch("demo", {"train": 100.0}, cores=2, stream=stream)
    watch.emit(event("run_info", stats={"train": 2, "data": 2, "all": 1, "total": 5}))
    assert watch.seconds_left(0.0) == pytest.approx((200 + 2 * DEFAULT_SECONDS) / 2)
    watch.emit(event("job_info", jobid=1, rule_name="data"))
    watch.emit(event("job_info", jobid=2, rule_name="train"))
    watch.emit(event("job_finished", job_id=1))
    assert watch.seconds_of("data") < 1 and watch.seconds_of("train") == 100
    line = stream.getvalue()
    assert line.startswith("[demo] 1/4 jobs") and "left; running: train" in line


def test_the_last_job_ends_the_estimate():
    stream = io.StringIO()
    watch = Watch("demo", {}, cores=1, stream=stream)
    watch.emit(event("run_info", stats={"data": 1, "total": 1}))
    watch.emit(event("job_info", jobid=7, rule_name="data"))
    watch.emit(event("job_finished", job_id=7))
    assert "1/1 jobs" in stream.getvalue() and "left" not in stream.getvalue()


def test_a_job_that_runs_longer_than_expected_never_gives_a_negative_estimate():
    watch = Watch("demo", {"train": 1.0}, cores=1, stream=io.StringIO())
    watch.emit(event("run_info", stats={"train": 1}))
    watch.emit(event("job_info", jobid=1, rule_name="train"))
    assert watch.seconds_left(watch.started[1] + 50) == 0.0

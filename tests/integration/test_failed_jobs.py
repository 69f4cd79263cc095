"""A grid in which a job fails for good: what there is, is reported."""

import json
import os
import signal
import time

import pytest
from checkout import kill_group

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "description": "A grid whose model is not there.",
    "models": {"train": ["nowhere"]},
    "data": {"train": ["arithmetic"], "benchmarks": ["arithmetic_easy"]},
    "analysis": {"settings": "smoke", "problems": "arithmetic_easy"},
    "training": {"engine": "cpu", "steps": 1},
    "evaluation": {"settings": "smoke"},
    "grid": [{"method": "grpo"}],
}
MODEL = {"name": "nowhere", "layers": 6, "size": "tiny", "prompt": "plain", "local": {"path": "nowhere"}}
CALL = ("--keep-going", "--config", "experiment=failing")


@pytest.fixture
def failing(checkout):
    configs = checkout.folder / "configs"
    (configs / "experiment/failing.yaml").write_text(json.dumps(EXPERIMENT))
    (configs / "model/nowhere.yaml").write_text(json.dumps(MODEL))
    return checkout


def test_a_report_of_what_there_is_follows_jobs_that_fail(failing):
    done = failing.run(*CALL)
    assert done.returncode == 1 and "has no config.json" in done.stdout, done.stdout[-4000:]
    results = failing.folder / "results/failing"
    page = results / "report-partial/index.html"
    told = [line for line in done.stdout.splitlines() if line.startswith("[failing] jobs failed")]
    assert told == [f"[failing] jobs failed; what there is: {page.relative_to(failing.folder)} and in MLflow"]
    assert "evaluation/nowhere/grpo/seed1/arithmetic_easy/summary.json" in page.read_text()
    assert (results / "report-partial/summary.json").is_file()
    # what Snakemake makes is not there, and still to be made
    assert not {"report", "summary.json", "tracked"} & {path.name for path in results.iterdir()}
    due = failing.run("--dry-run", "--quiet", "rules", *CALL).stdout
    assert {"report", "tracked"} <= {line.split()[0] for line in due.splitlines() if line.split()}


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_no_failure(failing):
    process = failing.start(*CALL)
    log = failing.folder / "results/failing/logs/data/arithmetic.log"
    try:
        while not log.exists():
            assert process.poll() is None, process.communicate()[0][-4000:]
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    finally:
        kill_group(process)
    assert "jobs failed" not in told, told[-4000:]
    assert not (failing.folder / "results/failing/report-partial").exists()

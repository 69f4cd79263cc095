"""Two calls of Snakemake at once in one checkout: of two experiments, and of the same one."""

import fcntl
import json
import sqlite3
import time
from contextlib import suppress

import pytest

from bupo.files import exclusive, read_json

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "description": "One of two.",
    "models": {"train": ["tiny_qwen3"]},
    "data": {"train": ["arithmetic"], "benchmarks": ["arithmetic_easy"]},
    "analysis": {"settings": "smoke", "problems": "arithmetic_easy"},
    "training": {"engine": "cpu", "steps": 1},
    "evaluation": {"settings": "smoke"},
    "grid": [{"method": "grpo"}],
}


def call(name: str) -> tuple[str, ...]:
    """As far as the training problems: some jobs, and everything that two experiments share."""
    return ("--config", f"experiment={name}", "--", f"results/{name}/data/contamination.json")


@pytest.fixture
def two(checkout):
    for name in ("one", "other"):
        (checkout.folder / f"configs/experiment/{name}.yaml").write_text(json.dumps(EXPERIMENT))
    return checkout


def is_held(path) -> bool:
    """Whether a process holds the lock on a file."""
    with suppress(FileNotFoundError), path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_two_experiments_go_on_side_by_side(two):
    processes = [two.start(*call(name)) for name in ("one", "other")]
    told = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "".join(told)[-4000:]
    results, ids = two.folder / "results", {}
    for name in ("one", "other"):
        assert (results / name / "data/contamination.json").is_file()
        tracking = read_json(results / name / "tracking.json")
        assert len(tracking["runs"]) == 2
        ids[name] = set(tracking["runs"].values())
    assert not ids["one"] & ids["other"]
    with sqlite3.connect(results / "mlflow/mlflow.db") as database:
        names = [name for (name,) in database.execute("SELECT name FROM experiments ORDER BY name")]
    assert [name for name in names if name in ids] == ["one", "other"]
    for name in ("one", "other"):
        assert "Nothing to be done" in two.run(*call(name)).stdout


def test_the_same_one_is_refused_in_one_sentence(two):
    first = two.start(*call("one"))
    lock = two.folder / "results/one/.lock"
    while not is_held(lock):
        assert first.poll() is None, first.communicate()[0][-4000:]
        time.sleep(0.05)
    second = two.run(*call("one"))
    told, _ = first.communicate(timeout=600)
    assert first.returncode == 0, told[-4000:]
    assert second.returncode != 0
    sentences = [line for line in second.stdout.splitlines() if "another process is running" in line]
    assert sentences == ["error: results/one: another process is running the experiment one; wait for it."]
    assert "Traceback" not in second.stdout


def test_a_dry_run_needs_not_wait(two):
    with exclusive(two.folder / "results/one/.lock", wait=False):
        assert two.run("--dry-run", *call("one")).returncode == 0

"""Two calls of Snakemake at once in one checkout: of two experiments, and of the same one."""

import json
import sqlite3
import time

import pytest

from bupo.experiment.start import PLAN
from bupo.files import exclusive, is_held, read_json

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
    assert two.run("--dry-run", *call("one")).returncode == 0
    with exclusive(two.folder / "results/one/.lock", wait=False):
        assert two.run("--dry-run", *call("one")).returncode == 0


def test_a_call_with_other_settings_changes_nothing_of_what_runs(two):
    assert two.run("--dry-run", *call("one")).returncode == 0

    def written():
        files = (path for path in (two.folder / "results/one").rglob("*") if path.is_file())
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    config, experiment, *target = call("one")
    other = (config, experiment, "overrides=[training.steps=2]", *target)
    with exclusive(two.folder / "results/one/.lock", wait=False):
        before = written()
        calls = [two.run("--dry-run", *other), two.run(*other)]
        assert written() == before
    for done in calls:
        assert done.returncode == 2
        (sentence,) = [line for line in done.stdout.splitlines() if line.startswith("error:")]
        assert "another process is running the experiment one with other settings" in sentence
        assert "Traceback" not in done.stdout


def test_a_job_on_a_node_is_of_the_plan_whatever_has_become_of_the_files_since(two):
    assert two.run(*call("one")).returncode == 0
    for file in ("experiment/one.yaml", "config.yaml", "data/arithmetic.yaml"):
        (two.folder / "configs" / file).write_text("half: [")
    report = two.folder / "results/one/data/arithmetic.json"
    before = report.read_bytes()
    report.unlink()
    # as Snakemake's executors start it, without those options that say where
    two.environment = {PLAN: "results/one/plan.json"}
    options = ("--mode", "remote", "--force", "--no-hooks", "--allowed-rules", "normalise")
    done = two.run(*options, "--target-jobs", "normalise:set=arithmetic")
    assert done.returncode == 0, done.stdout[-4000:]
    assert report.read_bytes() == before

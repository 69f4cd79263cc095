"""The same chain over real sets in their upstream form, with the tiny model."""

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bupo.files import read_json

pytestmark = pytest.mark.slow

BENCHMARKS = {"math500": 500, "amc23": 40, "aime24": 30, "aime25": 30}


@pytest.fixture(scope="module")
def config(shared_data):
    overrides = f"overrides=[data.source=local,data.directory={shared_data}]"
    return ("--config", "experiment=math_smoke", overrides)


@pytest.fixture(scope="module")
def smoke(shared_checkout, config):
    finished = shared_checkout.run(*config)
    assert finished.returncode == 0, finished.stdout[-4000:]
    return shared_checkout.folder / "results/math_smoke"


def test_real_sets_were_read_whole(smoke):
    for name, rows in BENCHMARKS.items():
        assert read_json(smoke / f"data/{name}.json")["rows"]["upstream"] == rows
    assert read_json(smoke / "data/math.json")["rows"]["kept"] > 7000
    assert read_json(smoke / "data/deepscaler.json")["rows"]["kept"] > 35000


def test_leaks_of_the_training_sets_were_taken_out(smoke):
    found = read_json(smoke / "data/contamination.json")["leaks"]
    leaks = {leak["train_id"] for leak in found if leak["removed"]}
    assert leaks
    for name in ("math", "deepscaler"):
        ids = {
            row["id"]
            for row in pq.read_table(smoke / f"data/verl/tiny_qwen3/{name}.parquet")["extra_info"].to_pylist()
        }
        assert ids and not ids & leaks


def test_prompts_too_long_for_the_model_were_left_out_and_told(smoke):
    for name in ("math", "deepscaler"):
        account = read_json(smoke / f"data/verl/tiny_qwen3/{name}.json")
        assert account["reasons"]["prompt longer than 512 tokens"] > 0
        assert account["kept"] == pq.read_table(smoke / f"data/verl/tiny_qwen3/{name}.parquet").num_rows
        assert account["rows"] == account["kept"] + len(account["left_out"])


def test_a_user_is_told_that_older_contests_are_inside_deepscaler(smoke):
    pairs = {(p["train"], p["benchmark"]): p for p in read_json(smoke / "data/contamination.json")["pairs"]}
    assert pairs["deepscaler", "aime22"]["inside"] >= 28
    assert pairs["deepscaler", "aime23"]["inside"] >= 28
    assert pairs["deepscaler", "aime23"]["removed"] == 0
    assert "aime23" in (smoke / "report/index.html").read_text()


def test_the_analysis_was_made_in_two_parts_and_merged(smoke):
    folder = smoke / "entropy/tiny_qwen3"
    parts = [pd.read_parquet(folder / f"shard-{shard}-of-2/responses.parquet") for shard in (1, 2)]
    whole = pd.read_parquet(folder / "responses.parquet")
    ids = [set(part["problem_id"]) for part in parts]
    assert all(ids) and not ids[0] & ids[1]
    assert ids[0] | ids[1] == set(whole["problem_id"]) and len(whole) == 12
    statistics = pd.read_parquet(folder / "statistics.parquet").set_index("slice")
    problems = {
        name: statistics.loc[name, "n_problems"].max() for name in ("all", "set math500", "set amc23")
    }
    assert problems == {"all": 12, "set math500": 6, "set amc23": 6}
    assert not list(folder.glob("*/seed*/flow.parquet"))


def test_every_benchmark_was_answered_by_every_model(smoke):
    for run in ("base/seed0", "grpo-deepscaler/seed1", "bupo-kauto-s1-math/seed1"):
        for name in BENCHMARKS:
            summary = read_json(smoke / f"evaluation/tiny_qwen3/{run}/{name}/summary.json")
            assert summary["n_problems"] == 6 and 0 <= summary["avg_at_n"]["value"] <= 1


def test_samples_are_drawn_by_two_jobs_and_graded_by_one_more(smoke, shared_checkout, config):
    folder = smoke / "evaluation/tiny_qwen3/base/seed0/math500"
    assert sorted(path.name for path in folder.iterdir()) == [
        "disagreements.csv",
        "scores.parquet",
        "shard-1-of-2-samples-0-1.parquet",
        "shard-2-of-2-samples-0-1.parquet",
        "summary.json",
    ]
    path = shared_checkout.folder / "configs/evaluation/smoke.yaml"
    settings = path.read_text()
    try:
        path.write_text(settings.replace("grader: math_verify", "grader: string"))
        assert jobs(shared_checkout, config) == {"sample": 0, "grade": 12, "train": 0}
        path.write_text(settings.replace("samples: 2\n", "samples: 4\n"))
        assert jobs(shared_checkout, config) == {"sample": 24, "grade": 12, "train": 0}
    finally:
        path.write_text(settings)


def jobs(checkout, config):
    """How many jobs of some rules would run."""
    told = checkout.run("--dry-run", *config).stdout
    counts = dict(line.split() for line in told.splitlines() if len(line.split()) == 2)
    return {rule: int(counts.get(rule, 0)) for rule in ("sample", "grade", "train")}


def test_the_report_says_what_it_is(smoke):
    page = (smoke / "report/index.html").read_text()
    assert "A smoke run: the tiny arithmetic model meets real mathematics" in page

"""Samples in shards: whatever the cut, the same samples, none drawn twice, and the same scores."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.grade import grade
from bupo.evaluation.partial import Partial
from bupo.evaluation.run import evaluate, sample
from bupo.evaluation.shards import Shard, cut


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation by one job, with 5 samples of 12 problems."""
    folder = tmp_path_factory.mktemp("whole")
    evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings(), folder)
    return folder


def settings(samples: int = 5, shards: dict | None = None, **others) -> EvaluationSettings:
    values = {
        "max_new_tokens": 24,
        "pass_at_k": [1, 2],
        "seed": 3,
        "bootstrap": {"resamples": 500},
        **others,
    }
    return EvaluationSettings(samples=samples, shards=shards or {}, **values)


def draw_all(tiny: Path, out: Path, chosen: EvaluationSettings) -> None:
    """Each shard as a job of its own, the last one first."""
    for shard in reversed(cut(chosen)):
        sample(str(tiny / "model.json"), tiny / "benchmark.parquet", chosen, out, shard)


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("scores.parquet", "summary.json")}


def stored(folder: Path) -> list:
    return [
        one
        for path in sorted(folder.glob("shard-*.parquet"))
        for one in pd.read_parquet(path).itertuples(index=False)
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".parquet") for path in folder.glob("*-samples-*"))


@pytest.mark.parametrize(
    "shards", [{"problems": 5, "samples": 2}, {"problems": 1, "samples": 1}, {"problems": 13}]
)
def test_shards_and_grades_equal_one_run(tiny: Path, whole: Path, tmp_path: Path, drawn: list, shards: dict):
    chosen = settings(shards=shards)
    draw_all(tiny, tmp_path, chosen)
    assert len(drawn) == len(set(drawn)) == 60
    assert names(tmp_path) == sorted(f"shard-{shard.name}" for shard in cut(chosen))
    by_key = {(one.problem_id, one.sample): one for one in stored(tmp_path)}
    assert by_key == {(one.problem_id, one.sample): one for one in stored(whole)} and len(by_key) == 60
    grade(tiny / "benchmark.parquet", chosen, tmp_path)
    assert content(tmp_path) == content(whole)


def test_more_samples_and_another_cut_only_top_up(tiny: Path, whole: Path, tmp_path: Path, drawn: list):
    draw_all(tiny, tmp_path, settings(3, {"problems": 2}))
    assert {number for _, number in drawn} == {0, 1, 2} and len(drawn) == 36
    drawn.clear()
    chosen = settings(5, {"problems": 3, "samples": 4})
    draw_all(tiny, tmp_path, chosen)
    assert {number for _, number in drawn} == {3, 4} and len(drawn) == 24
    grade(tiny / "benchmark.parquet", chosen, tmp_path)
    assert content(tmp_path) == content(whole)
    assert names(tmp_path) == sorted(f"shard-{shard.name}" for shard in cut(chosen))
    drawn.clear()
    evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings(), tmp_path)
    assert drawn == [] and content(tmp_path) == content(whole)
    assert names(tmp_path) == ["shard-1-of-1-samples-0-4"]


def test_fewer_samples_keep_those_that_are_there(tiny: Path, whole: Path, tmp_path: Path, drawn: list):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    fewer = evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings(4), tmp_path)
    assert fewer["n_samples"] == 4 and len(pd.read_parquet(tmp_path / "scores.parquet")) == 48
    evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings(), tmp_path)
    assert drawn == [] and content(tmp_path) == content(whole)


def test_a_killed_shard_of_another_cut_is_taken_over(tiny: Path, whole: Path, tmp_path: Path, drawn: list):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TypeError):
        patch.setattr("bupo.evaluation.partial.SAVE_EVERY_S", 0.0)
        patch.setattr(Partial, "publish", None)  # all is drawn, but the shard is not written
        draw_all(tiny, tmp_path, settings(3, batch_size=7))
    assert len(drawn) == len(set(drawn)) == 36 and not list(tmp_path.glob("shard-*"))
    assert len(list(tmp_path.glob("partial-1-of-1-samples-0-2-*/piece-*"))) == 6
    drawn.clear()
    chosen = settings(5, {"problems": 2})
    draw_all(tiny, tmp_path, chosen)
    assert {number for _, number in drawn} == {3, 4} and len(drawn) == 24
    grade(tiny / "benchmark.parquet", chosen, tmp_path)
    assert content(tmp_path) == content(whole)
    assert not list(tmp_path.glob("partial-*"))


def test_grading_needs_no_model(tiny: Path, whole: Path, tmp_path: Path):
    model = shutil.copytree(tiny, tmp_path / "tiny")
    (model / "model.json").write_text((tiny / "model.json").read_text().replace(str(tiny), str(model)))
    (tmp_path / "spec.yaml").write_text(
        yaml.safe_dump(settings(shards={"problems": 2}).model_dump(mode="json", exclude_unset=True))
    )
    command = [sys.executable, "-m", "bupo.evaluation"]
    where = [
        "--benchmark",
        str(tiny / "benchmark.parquet"),
        "--spec",
        str(tmp_path / "spec.yaml"),
        "--out",
        str(tmp_path / "out"),
    ]
    for part in ("1/2", "2/2"):
        options = ["--model", str(model / "model.json"), "--shard", part, "--samples", "0-4"]
        told = subprocess.run(
            [*command, "sample", *where, *options], check=True, capture_output=True, text=True
        )
        assert told.stdout.endswith(f"shard-{part[0]}-of-2-samples-0-4.parquet is whole.\n")
    shutil.rmtree(model)
    command[1:1] = ["-X", "importtime"]
    told = subprocess.run([*command, "grade", *where], check=True, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert "lm_eval.evaluator" in imported and not {"torch", "transformers"} & imported
    assert "tiny/base/seed0 on digits: avg@5" in told.stdout and "60/60 samples" in told.stderr
    scores = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    pd.testing.assert_frame_equal(scores, pd.read_parquet(whole / "scores.parquet"))


def test_another_rule_grades_the_same_samples(tiny: Path, whole: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")}
    (tmp_path / "partial-scores").mkdir()
    (tmp_path / "partial-scores" / "scores.parquet").write_text("half of it, from a grading that was killed")
    summary = grade(tiny / "benchmark.parquet", settings(grader="string"), tmp_path)
    scores, mathematics = (
        pd.read_parquet(tmp_path / "scores.parquet"),
        pd.read_parquet(whole / "scores.parquet"),
    )
    assert summary["grader"] == "string" and (scores["correct"] == scores["correct_string"]).all()
    for rule in ("string", "math_verify"):
        for column in ("correct", "status", "detail"):
            pd.testing.assert_series_equal(scores[f"{column}_{rule}"], mathematics[f"{column}_{rule}"])
    assert before == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("shard-*")}
    assert not (tmp_path / "partial-scores").exists()


def test_samples_that_are_missing_are_named(tiny: Path, tmp_path: Path):
    chosen = settings(shards={"problems": 2, "samples": 3})
    with pytest.raises(UserError, match=r"holds no samples for .* with the settings given"):
        grade(tiny / "benchmark.parquet", chosen, tmp_path)
    sample(str(tiny / "model.json"), tiny / "benchmark.parquet", chosen, tmp_path, Shard(1, 2, 0, 4))
    with pytest.raises(UserError) as error:
        grade(tiny / "benchmark.parquet", chosen, tmp_path)
    assert "sample would be right with --shard 2/2 --samples 0-2, with --shard 2/2 --samples 3-4." in str(
        error.value
    )
    assert not (tmp_path / "scores.parquet").exists()
    with pytest.raises(UserError, match="holds no samples"):
        grade(tiny / "benchmark.parquet", settings(temperature=0.5), tmp_path)


def test_samples_of_several_models_are_not_mixed(tiny: Path, whole: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    other = tmp_path / "runs" / "tiny" / "grpo" / "seed1"
    shutil.copytree(tiny / "model", other / "model")
    sample(str(other), tiny / "benchmark.parquet", settings(), tmp_path, Shard(1, 2, 0, 4))
    sample(str(other), tiny / "benchmark.parquet", settings(), tmp_path, Shard(2, 2, 0, 4))
    with pytest.raises(UserError, match=r"several models \(tiny/base/seed0, tiny/grpo/seed1\); --model"):
        grade(tiny / "benchmark.parquet", settings(), tmp_path)
    chosen = settings(shards={"problems": 2})
    assert grade(tiny / "benchmark.parquet", chosen, tmp_path, str(other))["run"] == "tiny/grpo/seed1"
    assert names(tmp_path) == ["shard-1-of-2-samples-0-4", "shard-2-of-2-samples-0-4"]

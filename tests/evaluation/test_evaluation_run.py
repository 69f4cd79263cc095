"""The command line, what it writes, what it draws again and what it does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import AutoTokenizer

from bupo.errors import UserError
from bupo.evaluation import sampling
from bupo.evaluation.config import EvaluationSettings, read_settings
from bupo.evaluation.models import resolve_model
from bupo.evaluation.partial import Partial
from bupo.evaluation.run import evaluate


def run(tiny: Path, out: Path, **settings) -> dict:
    return evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", EvaluationSettings(**settings), out)


def test_command_writes_everything(tiny: Path, tmp_path: Path, spec: dict):
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    out = tmp_path / "evaluation" / "tiny" / "base" / "seed0" / "digits"
    command = [sys.executable, "-m", "bupo.evaluation", "run", "--model", str(tiny / "model.json")]
    command += ["--benchmark", str(tiny / "benchmark.parquet"), "--spec", str(tmp_path / "spec.yaml")]
    result = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, check=True)
    assert "tiny/base/seed0 on digits: avg@4" in result.stdout
    assert "48/48 samples" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "disagreements.csv",
        "scores.parquet",
        "shard-1-of-1-samples-0-3.parquet",
        "summary.json",
    ]

    shard = pd.read_parquet(out / "shard-1-of-1-samples-0-3.parquet")
    scores = pd.read_parquet(out / "scores.parquet")
    summary = json.loads((out / "summary.json").read_text())
    assert len(shard) == len(scores) == 12 * 4
    assert not shard.duplicated(["problem_id", "sample"]).any()
    merged = scores.merge(shard, on=["problem_id", "sample"], validate="1:1", suffixes=("", "_shard"))
    for row in merged.itertuples():
        last = row.text.rfind("\\boxed{")
        answer = row.text[last + 7] if last >= 0 else None
        assert (row.answer if isinstance(row.answer, str) else None) == answer
        assert row.correct == (answer == row.gold)
        assert row.status == (
            "correct"
            if row.correct
            else "wrong"
            if answer
            else "truncated"
            if row.finish_reason == "length"
            else "no_box"
        )
    assert 0 < scores["correct"].mean() < 1
    assert summary["avg_at_n"]["value"] == pytest.approx(scores["correct"].mean())
    assert summary["pass_at_k"]["1"]["value"] == pytest.approx(summary["avg_at_n"]["value"])
    assert summary["pass_at_k"]["4"]["value"] == pytest.approx(
        scores.groupby("problem_id")["correct"].max().mean()
    )
    for estimate in (summary["avg_at_n"], *summary["pass_at_k"].values()):
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
        assert estimate["decoding_low"] <= estimate["value"] <= estimate["decoding_high"]
    assert summary["truncated_share"] == pytest.approx((shard["finish_reason"] == "length").mean())
    assert summary["no_box_share"] == pytest.approx((~shard["text"].str.contains("boxed")).mean())
    assert summary["mean_tokens"] == pytest.approx(shard["n_tokens"].mean())
    assert (summary["model"], summary["run"], summary["benchmark"]) == ("tiny", "tiny/base/seed0", "digits")
    assert (summary["n_problems"], summary["n_samples"], summary["grader"]) == (12, 4, "math_verify")
    assert summary["settings"]["seed"] == 3


def test_prompts_are_the_template_of_the_messages(tiny: Path, tmp_path: Path, spec: dict, monkeypatch):
    prompts: dict[str, str] = {}
    original = sampling.HuggingFaceSampler.sample

    def recording(self, wanted, *others):
        prompts.update({one.problem_id: one.prompt for one in wanted})
        return original(self, wanted, *others)

    monkeypatch.setattr(sampling.HuggingFaceSampler, "sample", recording)
    run(tiny, tmp_path, **spec)
    tokenizer = AutoTokenizer.from_pretrained(tiny / "model")
    table = pd.read_parquet(tiny / "benchmark.parquet")
    for messages, extra in zip(table["prompt"], table["extra_info"], strict=True):
        rendered = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        assert prompts[extra["id"]] == rendered
        ids = tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False)
        assert tokenizer(rendered, add_special_tokens=False)["input_ids"] == ids
    assert any("be brief\n</s>" in prompt for prompt in prompts.values())


def test_the_same_again_more_samples_other_grader(tiny: Path, tmp_path: Path, spec: dict, drawn: list):
    first = run(tiny, tmp_path / "a", **spec)
    assert len(drawn) == 48
    drawn.clear()
    assert run(tiny, tmp_path / "a", **spec) == first and drawn == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling.HuggingFaceSampler, "model", None)  # graded again without the weights
        by_string = run(tiny, tmp_path / "a", **{**spec, "grader": "string"})
    assert drawn == [] and by_string["grader"] == "string"
    more = run(tiny, tmp_path / "a", **{**spec, "samples": 6})
    assert {sample for _, sample in drawn} == {4, 5} and len(drawn) == 24
    assert more == run(tiny, tmp_path / "b", **{**spec, "samples": 6})
    drawn.clear()
    run(tiny, tmp_path / "a", **{**spec, "temperature": 0.5})
    assert len(drawn) == 48  # samples of another temperature are not these


def test_goes_on_after_a_crash(tiny: Path, tmp_path: Path, spec: dict, drawn: list, monkeypatch):
    whole = run(tiny, tmp_path / "whole", **spec)
    drawn.clear()
    monkeypatch.setattr("bupo.evaluation.partial.SAVE_EVERY_S", 0.0)
    original, calls = Partial.add, []

    def failing(self, samples):
        original(self, samples)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Partial, "add", failing)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, tmp_path / "cut", **spec)
    (partial,) = (tmp_path / "cut").iterdir()
    assert sorted(path.name for path in partial.glob("*.parquet")) == [
        "piece-000000.parquet",
        "piece-000001.parquet",
    ]
    drawn.clear()
    monkeypatch.setattr(Partial, "add", original)
    assert run(tiny, tmp_path / "cut", **spec) == whole
    assert len(drawn) == 48 - 2 * 16
    assert not partial.exists()
    for name in ("shard-1-of-1-samples-0-3.parquet", "scores.parquet"):
        left, right = (pd.read_parquet(tmp_path / side / name) for side in ("whole", "cut"))
        pd.testing.assert_frame_equal(left, right)


def test_the_folder_of_the_task_files_is_told():
    told = subprocess.run(
        [sys.executable, "-m", "bupo.evaluation", "tasks"], capture_output=True, text=True, check=True
    )
    assert list(Path(told.stdout.strip()).glob("*.yaml"))


def test_a_run_folder_is_a_model(tiny: Path, tmp_path: Path):
    folder = tmp_path / "runs" / "tiny" / "bupo-k3-s4" / "seed1"
    shutil.copytree(tiny / "model", folder / "model")
    model = resolve_model(folder)
    assert (model.name, model.run, model.path) == ("tiny", "tiny/bupo-k3-s4/seed1", str(folder / "model"))
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"bupo": {"model": "other", "cell": "grpo", "seed": 2}})
    )
    assert resolve_model(folder).run == "other/grpo/seed2"
    (folder / "done.json").write_text("{}")
    assert resolve_model(folder).identity != model.identity
    with pytest.raises(UserError, match=r"model\.json, or a run's folder"):
        resolve_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pass_at_k": [1, 8]}, "pass_at_k holds 8; 1 to 4"),
        ({"smaples": 3}, "smaples"),
        ({"top_p": 0.0}, "top_p"),
        ({"backend": "tgi"}, "backend"),
        ({"samples": 0}, "samples"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, spec: dict, change: dict, message: str):
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({**spec, **change}))
    with pytest.raises(UserError, match=message) as error:
        read_settings(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_the_projects_own_settings_are_valid(root: Path):
    files = sorted((root / "configs" / "evaluation").glob("*.yaml"))
    assert files
    for file in files:
        assert read_settings(file).samples >= 1

"""The task file under lm-eval's own command line, against our path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.run import evaluate
from bupo.evaluation.task import TASK_DIRECTORY, document, keep_all, load_benchmark, process_results


def test_greedy_scores_of_lm_evals_command_equal_ours(tiny: Path, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--device",
        "cpu",
        "--batch_size",
        "16",
    ]
    command += [
        "--model_args",
        f"pretrained={tiny / 'model'},dtype=float32",
        "--include_path",
        str(TASK_DIRECTORY),
    ]
    command += [
        "--tasks",
        "bupo_benchmark",
        "--apply_chat_template",
        "--log_samples",
        "--output_path",
        str(tmp_path),
    ]
    command += ["--metadata", json.dumps({"benchmark": str(tiny / "benchmark.parquet")})]
    command += ["--gen_kwargs", "do_sample=False,temperature=0.0,max_gen_toks=24"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)
    (results,) = tmp_path.glob("*/results_*.json")
    theirs = json.loads(results.read_text())["results"]["bupo_benchmark"]
    (logged,) = tmp_path.glob("*/samples_*.jsonl")
    documents = [json.loads(line) for line in logged.read_text().splitlines()]

    settings = EvaluationSettings(samples=8, temperature=0.0, max_new_tokens=24, pass_at_k=[1, 2, 8])
    ours = evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings, tmp_path / "ours")
    shard = pd.read_parquet(tmp_path / "ours" / "shard-0.parquet").set_index(["problem_id", "sample"])["text"]
    for row in documents:
        assert row["resps"] == [[shard[row["doc"]["id"], sample] for sample in range(8)]]
        assert len(row["grades"]) == 8
    assert theirs["avg,samples"] == ours["avg_at_n"]["value"]
    assert theirs["maj,samples"] == ours["maj_at_n"]["value"]
    assert theirs["no_box,samples"] == ours["no_box_share"]
    for k in ("1", "2", "8"):
        assert theirs[f"pass_at_{k},samples"] == ours["pass_at_k"][k]["value"]


def test_all_repeats_are_scored():
    doc = {"id": "x", "answer": "2", "grader": "math_verify"}
    responses = [r"\boxed{2}", r"\boxed{3}", r"\boxed{3}", "none"]
    assert keep_all([responses], [doc]) == [responses]
    result = process_results(doc, [responses])
    assert result["avg"] == 0.25 and result["maj"] == 0.0 and result["no_box"] == 0.25
    assert {key: value for key, value in result.items() if key.startswith("pass")} == {
        "pass_at_1": 0.25,
        "pass_at_2": 0.5,
        "pass_at_4": 1.0,
    }
    assert [grade["math_verify"]["status"] for grade in result["grades"]] == [
        "correct",
        "wrong",
        "wrong",
        "no_box",
    ]


def test_the_rule_of_the_document_counts():
    responses = [r"\boxed{0.75}"]
    scores = {
        rule: process_results({"id": "x", "answer": r"\frac{3}{4}", "grader": rule}, [responses])["avg"]
        for rule in ("math_verify", "string")
    }
    assert scores == {"math_verify": 1.0, "string": 0.0}


def test_benchmarks_that_cannot_be_used_are_named(tiny: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"benchmark is 'no\.parquet'"):
        load_benchmark("no.parquet")
    with pytest.raises(ValueError, match="grader is 'mine'"):
        load_benchmark(str(tiny / "benchmark.parquet"), grader="mine")
    table = pd.read_parquet(tiny / "benchmark.parquet")
    pd.concat([table, table.iloc[3:4]]).to_parquet(tmp_path / "twice.parquet")
    with pytest.raises(ValueError, match="digits-3"):
        load_benchmark(str(tmp_path / "twice.parquet"))
    row = table.iloc[0].to_dict()
    row["prompt"] = [*row["prompt"], {"role": "assistant", "content": "4"}]
    with pytest.raises(ValueError, match="assistant"):
        document(row, "string")

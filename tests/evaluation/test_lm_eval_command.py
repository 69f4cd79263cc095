"""The task files under lm-eval's own command line: on real problems, against our path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from boxing_models import save_base_model, save_chat_model

from bupo.data.export import write_verl
from bupo.data.normalise import normalise
from bupo.data.prompts import PROMPTS
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.named import CONFIGS, data_spec
from bupo.evaluation.run import evaluate
from bupo.evaluation.task import process_results

LONGEST = 24


def lm_eval(
    model: Path, tasks: str, metadata: dict, out: Path, *options: str
) -> tuple[dict, dict[str, list]]:
    """Run the command as a user would; its results and its log of samples, by task."""
    folder = subprocess.check_output([sys.executable, "-m", "bupo.evaluation", "tasks"], text=True).strip()
    command = [sys.executable, "-m", "lm_eval", "--include_path", folder, "--tasks", tasks, "--model", "hf"]
    command += ["--metadata", json.dumps(metadata), "--device", "cpu", "--batch_size", "16", *options]
    command += ["--log_samples", "--output_path", str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=model)
    (results,) = out.glob("*/results_*.json")
    logs = {}
    for task in tasks.split(","):
        (log,) = out.glob(f"*/samples_{task}_*.jsonl")
        logs[task] = [json.loads(line) for line in log.read_text().splitlines()]
    return json.loads(results.read_text())["results"], logs


def compare_greedy(
    name: str,
    model: Path,
    sets: list[str],
    samples: int,
    shared_data: Path,
    tmp_path: Path,
    options: list[str],
) -> list[float]:
    """Greedy scores by lm-eval's command equal ours to the last digit, and so do the texts; the scores."""
    metadata = {"directory": str(shared_data), "prompt": name, "samples": samples}
    greedy = f"do_sample=False,temperature=0.0,max_gen_toks={LONGEST}"
    tasks = ",".join(f"bupo_{one}" for one in sets)
    results, logs = lm_eval(model, tasks, metadata, tmp_path / "theirs", "--gen_kwargs", greedy, *options)
    prompt = PROMPTS[name]
    settings = EvaluationSettings(
        samples=samples,
        temperature=0.0,
        max_new_tokens=LONGEST,
        pass_at_k=list(range(1, samples + 1)),
        chat_template=prompt.template,
        chat_template_kwargs=prompt.template_options,
    )
    description = {"name": "tiny", "path": str(model), "revision": None, "prompt": name}
    (tmp_path / "model.json").write_text(json.dumps(description))
    for one in sets:
        problems, _ = normalise(data_spec(one, str(shared_data), CONFIGS))
        write_verl(problems, prompt, "test", tmp_path / f"{one}.parquet")
        out = tmp_path / "ours" / one
        ours = evaluate(str(tmp_path / "model.json"), tmp_path / f"{one}.parquet", settings, out)
        theirs, log = results[f"bupo_{one}"], logs[f"bupo_{one}"]
        (shard,) = out.glob("shard-*.parquet")
        texts = pd.read_parquet(shard).set_index(["problem_id", "sample"])["text"]
        assert len(log) == len(problems)
        for row in log:
            assert row["resps"] == [[texts[row["doc"]["id"], number] for number in range(samples)]]
        assert theirs["avg,samples"] == ours["avg_at_n"]["value"]
        assert theirs["maj,samples"] == ours["maj_at_n"]["value"]
        assert theirs["no_box,samples"] == ours["no_box_share"]
        for k in range(1, samples + 1):
            assert theirs[f"pass_at_{k},samples"] == ours["pass_at_k"][str(k)]["value"]
    return [results[f"bupo_{one}"]["avg,samples"] for one in sets]


def answers(sets: list[str], shared_data: Path) -> list[str]:
    return [one.answer for name in sets for one in normalise(data_spec(name, str(shared_data), CONFIGS))[0]]


@pytest.mark.slow
def test_a_chat_models_greedy_scores_equal_ours(shared_data: Path, tmp_path: Path):
    sets = ["amc23", "aime24"]
    model = save_chat_model(tmp_path / "model", answers(sets, shared_data), seed=12)
    options = [
        "--apply_chat_template",
        "--model_args",
        f"pretrained={model},dtype=float32,enable_thinking=False",
    ]
    scores = compare_greedy("qwen", model, sets, 3, shared_data, tmp_path, options)
    assert all(0 < score < 1 for score in scores)


@pytest.mark.slow
def test_a_base_models_greedy_scores_equal_ours(shared_data: Path, tmp_path: Path):
    model = save_base_model(tmp_path / "model", answers(["aime25"], shared_data), seed=4)
    options = ["--model_args", f"pretrained={model},dtype=float32"]
    (score,) = compare_greedy("octothinker", model, ["aime25"], 2, shared_data, tmp_path, options)
    assert 0 < score < 1


@pytest.mark.slow
def test_a_sampled_run_scores_and_logs_every_repeat(shared_data: Path, tmp_path: Path):
    model = save_chat_model(tmp_path / "model", answers(["amc23"], shared_data))
    n, metadata = 48, {"directory": str(shared_data), "prompt": "qwen", "samples": 48}
    options = [
        "--apply_chat_template",
        "--model_args",
        f"pretrained={model},dtype=float32,enable_thinking=False",
    ]
    results, logs = lm_eval(
        model,
        "bupo_amc23",
        metadata,
        tmp_path / "out",
        *options,
        "--limit",
        "4",
        "--gen_kwargs",
        "max_gen_toks=16",
    )
    found, log = results["bupo_amc23"], logs["bupo_amc23"]
    assert {f"pass_at_{k},samples" for k in range(1, n + 1)} <= found.keys()
    rising = [found[f"pass_at_{k},samples"] for k in range(1, n + 1)]
    assert rising == sorted(rising) and 0 < rising[0] < rising[-1]
    for row in log:
        (texts,), (boxes,) = row["resps"], row["filtered_resps"]
        assert len(texts) == len(boxes) == n and len(set(texts)) > n // 2
        again = process_results(row["doc"], [texts])
        assert {key: row[key] for key in again} == again
        assert max(map(len, boxes)) < 20  # the texts themselves are logged once
    first_characters = {text[:1] for row in log for text in row["resps"][0]}
    assert len(first_characters) > 3  # the model ships with top_k 3

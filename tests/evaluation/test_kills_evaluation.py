"""Killed without warning at random moments, an evaluation ends with the same files."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

KILLS = 20
FILES = ("scores.parquet", "disagreements.csv", "summary.json")
EVALUATION = """
import json, sys
from pathlib import Path

import pandas, torch, transformers
from bupo.evaluation import lm, partial, scores, store, summary
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.run import evaluate

model, benchmark, settings, out = sys.argv[1:]
partial.SAVE_EVERY_S = 0.0  # each batch is a piece
store.BLOCK = 12  # the problems are graded one by one
print("ready", flush=True)
evaluate(model, Path(benchmark), EvaluationSettings(**json.loads(settings)), Path(out))
"""
SETTINGS = {
    **{"samples": 12, "max_new_tokens": 40, "batch_size": 5, "pass_at_k": [1, 12], "seed": 5},
    **{"shards": {"problems": 2, "samples": 5}, "bootstrap": {"resamples": 100}},
}


def start(tiny: Path, out: Path) -> "subprocess.Popen[str]":
    """An evaluation that is about to begin."""
    arguments = [str(tiny / "model.json"), str(tiny / "benchmark.parquet"), json.dumps(SETTINGS), str(out)]
    with out.with_suffix(".log").open("w") as log:
        command = [sys.executable, "-c", EVALUATION, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def finished(process: "subprocess.Popen[str]", after: float | None = None) -> bool:
    """Whether the evaluation ends by itself within ``after`` seconds, else it is killed."""
    try:
        code = process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    process.communicate()
    assert code in (0, -signal.SIGKILL), process.args[-1] + ".log"
    return code == 0


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def sampled(folder: Path) -> Counter:
    """How often each sample is in the shards."""
    shards = [pd.read_parquet(path) for path in folder.glob("shard-*.parquet")]
    return Counter(sample for shard in shards for sample in shard.itertuples(index=False, name=None))


@pytest.mark.slow
def test_killed_20_times_at_random(tiny: Path, tmp_path: Path):
    process = start(tiny, tmp_path / "whole")
    begun = time.monotonic()
    assert finished(process)
    took = time.monotonic() - begun
    expected, samples = content(tmp_path / "whole"), sampled(tmp_path / "whole")
    assert len(samples) == samples.total() == 12 * 12

    moments, folder = random.Random(0), 0
    kills: Counter[int] = Counter()
    while kills.total() < KILLS or kills[folder] > 0:
        out = tmp_path / str(folder)
        if finished(start(tiny, out), moments.uniform(0, took / 2) if kills.total() < KILLS else None):
            assert content(out) == expected and sampled(out) == samples
            assert len(list(out.iterdir())) == len(FILES) + 6
            folder += 1
        else:
            kills[folder] += 1
    assert folder >= 1

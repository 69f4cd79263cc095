"""However many samples there are, a few of them are in memory, in sampling and in grading."""

import gc
import tracemalloc
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.grade import grade
from bupo.evaluation.run import evaluate, sample
from bupo.evaluation.sampling import HuggingFaceSampler, Sample
from bupo.evaluation.shards import Shard

COPIES, SAMPLES, CHARACTERS = 5, 100, 20_000  # of the benchmark's 12 problems: 120 million characters
POOLS: list[pa.MemoryPool] = []  # a pool lives longer than what was allocated from it


def long_samples(self, wanted, scratch, progress):
    """In the place of a model: long answers, in parts of 50."""
    for start in range(0, len(wanted), 50):
        yield [
            Sample(
                one.problem_id,
                one.sample,
                "So. " * (CHARACTERS // 4) + rf"\boxed{{{one.sample % 4}}}",
                9,
                "stop",
                "0",
            )
            for one in wanted[start : start + 50]
        ]


def test_a_few_samples_are_in_memory(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    benchmark = tmp_path / "benchmark.parquet"
    rows = pd.read_parquet(tiny / "benchmark.parquet").to_dict("records") * COPIES
    for index, row in enumerate(rows):
        rows[index] = {**row, "extra_info": {**row["extra_info"], "id": f"problem-{index}"}}
    pd.DataFrame(rows).to_parquet(benchmark)
    few = EvaluationSettings(samples=1, max_new_tokens=8, bootstrap={"resamples": 100})
    evaluate(str(tiny / "model.json"), benchmark, few, tmp_path / "few")  # all that is imported
    monkeypatch.setattr(HuggingFaceSampler, "sample", long_samples)
    monkeypatch.setattr("bupo.evaluation.store.BLOCK", 200)
    monkeypatch.setattr("bupo.evaluation.partial.SAVE_CHARACTERS", 2_000_000)
    settings = few.model_copy(update={"samples": SAMPLES})

    def peak(step) -> int:
        """The most bytes that Python and Arrow held together, at worst."""
        gc.collect()
        usual = pa.default_memory_pool()
        arrow = pa.proxy_memory_pool(usual)
        POOLS.append(arrow)
        pa.set_memory_pool(arrow)
        tracemalloc.start()
        try:
            step()
            return tracemalloc.get_traced_memory()[1] + arrow.max_memory()
        finally:
            tracemalloc.stop()
            pa.set_memory_pool(usual)

    arguments = str(tiny / "model.json"), benchmark, settings, tmp_path / "many"
    drawing = peak(lambda: sample(*arguments, Shard(1, 1, 0, SAMPLES - 1)))
    grading = peak(lambda: grade(benchmark, settings, tmp_path / "many"))
    scores = pd.read_parquet(tmp_path / "many" / "scores.parquet")
    assert len(scores) == len(rows) * SAMPLES and 0.2 < scores["correct"].mean() < 0.3
    texts = len(rows) * SAMPLES * CHARACTERS
    assert max(drawing, grading) < texts / 3, (drawing, grading)

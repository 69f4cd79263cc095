"""An evaluation's responses: greedy equals transformers' own, draws hang on problem and sample alone."""

import json
from pathlib import Path

import pytest
import torch

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.run import evaluate
from bupo.evaluation.sampling import HuggingFaceSampler, Sample, Wanted
from bupo.sampling import key_of


def sampler(tiny: Path, **settings) -> HuggingFaceSampler:
    values = {"samples": 4, "max_new_tokens": 24, "batch_size": 64, **settings}
    return HuggingFaceSampler(str(tiny / "model"), None, EvaluationSettings(**values))


def wanted(count: int, samples: int = 4) -> list[Wanted]:
    prompts = {f"p{i}": "<s>user\n" + "a" * (1 + 3 * (i % 5)) + f"{i}</s>\n" for i in range(count)}
    return [Wanted(p, s, prompts[p]) for p in prompts for s in range(samples)]


def draw(sampler: HuggingFaceSampler, asked: list[Wanted]) -> dict[tuple[str, int], Sample]:
    parts = list(sampler.sample(asked, Path("unused"), lambda finished: None))
    return {(sample.problem_id, sample.sample): sample for part in parts for sample in part}


def test_greedy_equals_generate(tiny: Path):
    ours = sampler(tiny, temperature=0.0)
    found = draw(ours, wanted(7, samples=1))
    for one in wanted(7, samples=1):
        ids = ours.tokenizer(one.prompt, add_special_tokens=False, return_tensors="pt").input_ids
        output = ours.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
        )
        new = output[0, ids.shape[1] :].tolist()
        sample = found[one.problem_id, 0]
        assert sample.n_tokens == len(new)
        assert sample.text == ours.tokenizer.decode(new, skip_special_tokens=True)
        assert sample.finish_reason == ("stop" if new[-1] == ours.tokenizer.eos_token_id else "length")


def test_a_sample_hangs_on_seed_problem_and_number_alone(tiny: Path):
    together = draw(sampler(tiny, batch_size=64), wanted(6))
    apart = draw(sampler(tiny, batch_size=5), wanted(6)[::-1])
    alone = draw(sampler(tiny), [wanted(6)[9]])
    assert together == apart
    assert alone.items() <= together.items()
    assert len({sample.text for sample in together.values()}) > 12
    assert together["p2", 1].key == f"{key_of(0, 'p2', 1):032x}"
    other = draw(sampler(tiny, seed=1), wanted(6))
    assert {k: s.text for k, s in other.items()} != {k: s.text for k, s in together.items()}


def test_lengths_and_ends(tiny: Path):
    found = draw(sampler(tiny, max_new_tokens=40), wanted(20))
    reasons = {sample.finish_reason for sample in found.values()}
    assert reasons == {"stop", "length"}
    for sample in found.values():
        assert (sample.finish_reason == "length") <= (sample.n_tokens == 40)
        assert "</s>" not in sample.text


def test_progress_ends_at_the_number_of_samples(tiny: Path):
    told: list[int] = []
    list(sampler(tiny, batch_size=10).sample(wanted(6), Path("unused"), told.append))
    assert told == sorted(told) and told[-1] == 24


def test_a_prompt_that_does_not_fit_is_an_error(tiny: Path):
    with pytest.raises(UserError, match="max_new_tokens is 250"):
        draw(sampler(tiny, max_new_tokens=250), wanted(2))


def test_all_end_tokens_end(tiny: Path, tmp_path: Path):
    for file in (tiny / "model").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [2, 5]}))
    settings = EvaluationSettings(samples=1, max_new_tokens=4, top_p=0.9, temperature=0.8)
    ours = HuggingFaceSampler(str(tmp_path), None, settings)
    assert ours.drawing.end_token_ids == {2, 5}
    assert (ours.drawing.max_new_tokens, ours.drawing.temperature, ours.drawing.top_p) == (4, 0.8, 0.9)


@pytest.mark.slow
def test_greedy_through_vllm_equals_hugging_face(tiny: Path, tmp_path: Path, vllm_python: str, monkeypatch):
    monkeypatch.setenv("BUPO_VLLM_PYTHON", vllm_python)
    both = {}
    for backend in ("hf", "vllm"):
        settings = EvaluationSettings(
            samples=2, temperature=0.0, max_new_tokens=24, backend=backend, dtype="float32"
        )
        out = tmp_path / backend
        summary = evaluate(str(tiny / "model.json"), tiny / "benchmark.parquet", settings, out)
        (shard,) = out.glob("shard-*")
        samples = {(s["problem_id"], s["sample"]): s for s in rows(shard)}
        both[backend] = (samples, summary["avg_at_n"])
        assert sorted(path.name for path in out.iterdir()) == [
            "disagreements.csv",
            "scores.parquet",
            "shard-1-of-1-samples-0-1.parquet",
            "summary.json",
        ]
    assert both["hf"] == both["vllm"] and len(both["hf"][0]) == 24


def rows(path: Path) -> list[dict]:
    import pandas as pd

    return pd.read_parquet(path).to_dict("records")

"""Decoding: greedy equals transformers' own, draws follow the distribution and hang on the sample alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.huggingface import HuggingFaceSampler, choose
from bupo.evaluation.sampling import Request, Sample, sample_seed, uniforms


def sampler(tiny: Path, **settings) -> HuggingFaceSampler:
    values = {"samples": 4, "max_new_tokens": 24, "batch_size": 64, **settings}
    return HuggingFaceSampler(str(tiny / "model"), None, EvaluationSettings(**values))


def requests(count: int, samples: int = 4, seed: int = 0) -> list[Request]:
    prompts = {f"p{i}": "<s>user\n" + "a" * (1 + 3 * (i % 5)) + f"{i}</s>\n" for i in range(count)}
    return [Request(p, s, prompts[p], sample_seed(seed, p, s)) for p in prompts for s in range(samples)]


def draw(sampler: HuggingFaceSampler, wanted: list[Request]) -> dict[tuple[str, int], Sample]:
    parts = list(sampler.sample(wanted, lambda finished: None))
    return {(sample.problem_id, sample.sample): sample for part in parts for sample in part}


def test_greedy_equals_generate(tiny: Path):
    ours = sampler(tiny, temperature=0.0)
    wanted = requests(7, samples=1)
    found = draw(ours, wanted)
    for request in wanted:
        ids = ours.tokenizer(request.prompt, add_special_tokens=False, return_tensors="pt").input_ids
        output = ours.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24
        )
        new = output[0, ids.shape[1] :].tolist()
        sample = found[request.problem_id, 0]
        assert sample.n_tokens == len(new)
        assert sample.text == ours.tokenizer.decode(new, skip_special_tokens=True)
        assert sample.finish_reason == ("stop" if new[-1] == ours.tokenizer.eos_token_id else "length")


def test_a_sample_hangs_on_its_seed_alone(tiny: Path):
    wanted = requests(6)
    together = draw(sampler(tiny, batch_size=64), wanted)
    apart = draw(sampler(tiny, batch_size=5), wanted[::-1])
    alone = draw(sampler(tiny), [wanted[9]])
    assert together == apart
    assert alone.items() <= together.items()
    assert len({sample.text for sample in together.values()}) > 12
    other = draw(sampler(tiny), requests(6, seed=1))
    assert {k: s.text for k, s in other.items()} != {k: s.text for k, s in together.items()}


def test_lengths_and_ends(tiny: Path):
    found = draw(sampler(tiny, max_new_tokens=40), requests(20))
    reasons = {sample.finish_reason for sample in found.values()}
    assert reasons == {"stop", "length"}
    for sample in found.values():
        assert (sample.finish_reason == "length") <= (sample.n_tokens == 40)
        assert "</s>" not in sample.text


def test_progress_ends_at_the_number_of_requests(tiny: Path):
    told: list[int] = []
    wanted = requests(6)
    list(sampler(tiny, batch_size=10).sample(wanted, told.append))
    assert told == sorted(told) and told[-1] == len(wanted)


def test_choose_follows_the_distribution():
    logits = torch.tensor([[1.0, 0.0, 2.0, -3.0]])
    draws = torch.rand(40_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for temperature in (1.0, 0.5):
        tokens = choose(logits.expand(len(draws), -1), draws, temperature, 1.0)
        shares = torch.bincount(tokens, minlength=4) / len(draws)
        assert torch.allclose(shares, torch.softmax(logits[0] / temperature, -1), atol=0.01)


def test_choose_top_p_keeps_the_smallest_set():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    draws = torch.linspace(0, 1 - 1e-9, 1001, dtype=torch.float64)
    tokens = choose(logits.expand(1001, -1), draws, 1.0, 0.7)
    assert set(tokens.tolist()) == {0, 1}
    assert (tokens == 0).double().mean() == pytest.approx(0.5 / 0.8, abs=0.01)
    assert choose(logits, torch.zeros(1, dtype=torch.float64), 0.0, 1.0).item() == 0


def test_choose_never_takes_an_impossible_token():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    draws = torch.tensor([0.0, 0.4999999, 0.5, 0.9999999999999999], dtype=torch.float64)
    assert choose(logits.expand(4, -1), draws, 1.0, 1.0).tolist() == [1, 1, 3, 3]


def test_seeds():
    seeds = {sample_seed(s, p, i) for s in range(3) for p in ("a", "b") for i in range(100)}
    assert len(seeds) == 600 and all(0 <= seed < 2**63 for seed in seeds)
    assert np.array_equal(uniforms(5, 10), uniforms(5, 40)[:10])


def test_a_prompt_that_does_not_fit_is_an_error(tiny: Path):
    with pytest.raises(UserError, match="max_new_tokens is 250"):
        draw(sampler(tiny, max_new_tokens=250), requests(2))


def test_all_end_tokens_end(tiny: Path, tmp_path: Path):
    for file in (tiny / "model").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": [2, 5]}))
    ours = HuggingFaceSampler(str(tmp_path), None, EvaluationSettings(samples=1, max_new_tokens=4))
    assert ours.end_tokens == {2, 5}

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bupo.entropy.problems import Problem, read_problems
from bupo.entropy.responses import (
    Response,
    _GumbelSampling,
    cut,
    response_seed,
    sample_responses,
    stop_tokens,
)
from bupo.entropy.settings import Analysis
from bupo.errors import UserError


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)


def settings(**values):
    return Analysis(**{"max_new_tokens": 12, **values})


def by_key(responses):
    return {(r.problem.id, r.sample): r.response_ids for r in responses}


def test_a_response_hangs_on_its_problem_and_not_on_the_batch(tiny, problems_file):
    problems = read_problems(problems_file)
    whole = by_key(sample_responses(*tiny, problems, settings(samples=2)))
    assert len(whole) == 24
    assert whole[("sums-000", 0)] != whole[("sums-000", 1)]
    assert by_key(sample_responses(*tiny, problems[::-1], settings(samples=2, batch_size=5))) == whole
    few = by_key(sample_responses(*tiny, problems[4:6], settings(samples=2)))
    assert few == {key: whole[key] for key in few}
    assert by_key(sample_responses(*tiny, problems, settings(samples=2, seed=2))) != whole


def test_responses_come_in_the_order_of_the_problems(tiny, problems_file):
    problems = read_problems(problems_file)[::-1]
    found = sample_responses(*tiny, problems, settings(batch_size=5, samples=2))
    assert [(r.problem.id, r.sample) for r in found] == [(p.id, s) for p in problems for s in (0, 1)]


def test_what_the_model_ships_with_is_left_out(tiny, problems_file):
    model, tokenizer = tiny
    problems = read_problems(problems_file)
    assert model.generation_config.repetition_penalty == 3.0
    shipped = by_key(sample_responses(model, tokenizer, problems, settings()))
    before = model.generation_config
    model.generation_config = type(before)(eos_token_id=2, pad_token_id=0)
    plain = by_key(sample_responses(model, tokenizer, problems, settings()))
    model.generation_config = before
    assert shipped == plain


def test_ends_are_known_by_token_ids(tiny, problems_file):
    found = sample_responses(*tiny, read_problems(problems_file), settings(samples=4, max_new_tokens=30))
    assert {r.finished for r in found} == {True, False}
    for r in found:
        assert r.response_ids.count(2) == (1 if r.finished else 0)
        assert len(r.response_ids) <= 30
        assert r.response_ids[-1] == 2 if r.finished else len(r.response_ids) == 30


def test_tokens_are_those_of_the_model_with_its_noise(tiny, problems_file):
    """Teacher forcing: each token is the most likely one after that response's own noise."""
    model, tokenizer = tiny
    response = sample_responses(model, tokenizer, read_problems(problems_file), settings(temperature=1.5))[7]
    ids = torch.tensor([response.prompt_ids + response.response_ids])
    with torch.no_grad():
        logits = model(ids).logits[0, response.positions]
    noise = _GumbelSampling([response_seed(1, response.problem.id, 0)], 1.5, torch.device("cpu"))
    tokens = [noise(None, row[None]).argmax().item() for row in logits]
    assert tokens == response.response_ids


def test_the_noise_samples_the_distribution():
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    sampler = _GumbelSampling([5], 2.0, torch.device("cpu"))
    drawn = torch.stack([sampler(None, scores).argmax() for _ in range(20_000)])
    share = torch.bincount(drawn, minlength=4) / 20_000
    assert (share - (scores[0] / 2).softmax(-1)).abs().max() < 0.015


def test_positions_start_with_the_one_that_predicts_the_first_token():
    response = Response(Problem("p", [], None), 0, [5, 6, 7], [8, 9, 2], "", True)
    assert list(range(6))[response.positions] == [2, 3, 4]


def test_an_empty_response_is_refused():
    response = Response(Problem("p", [], None), 1, [5, 6, 7], [], "", False)
    with pytest.raises(UserError, match="problem p, sample 1: the response is empty"):
        _ = response.positions


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([4, 2, 0, 0], ([4, 2], True)),
        ([2], ([2], True)),
        ([4, 5], ([4, 5], False)),
        ([4, 3, 2], ([4, 3], True)),
    ],
)
def test_cut(generated, expected):
    assert cut(generated, {2, 3}) == expected


def test_stop_tokens(tiny):
    model, tokenizer = tiny
    assert stop_tokens(model, tokenizer) == {2}
    before, model.generation_config.eos_token_id = model.generation_config.eos_token_id, [7, 8]
    assert stop_tokens(model, tokenizer) == {2, 7, 8}
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="EOS"):
        stop_tokens(model, tokenizer)
    model.generation_config.eos_token_id, tokenizer.eos_token = before, "</s>"

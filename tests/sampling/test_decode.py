"""Decoding in batches: equal to generating one by one, whatever else is in the batch."""

import copy

import pytest
import torch

from bupo.errors import UserError
from bupo.sampling import Request, SamplingSettings, decode, decode_in_batches, key_of
from bupo.sampling.draw import draw, log_policy, uniforms

ENDS = frozenset(range(3, 60, 10))
PROMPTS = [(2, 5, 6, 7), (2, 9), (2, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21), (8,)]


def settings(max_new_tokens=20, **changes):
    return SamplingSettings(max_new_tokens=max_new_tokens, end_token_ids=ENDS, **changes)


def requests(prompts=PROMPTS, count=3, name=""):
    return [Request(prompt, key_of(name, prompt, number)) for prompt in prompts for number in range(count)]


def next_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[:, -1]


def one_by_one(model, request, wanted):
    """The slow way: the whole sequence for each token, the response alone."""
    random = uniforms([request.key], wanted.max_new_tokens)
    ids, log_probs = list(request.prompt_ids), []
    for step in range(wanted.max_new_tokens):
        policy = log_policy(next_logits(model, ids), wanted.temperature, wanted.top_p)
        token = draw(policy, random[:, step], wanted.temperature).item()
        ids.append(token)
        log_probs.append(policy[0, token].item())
        if token in ENDS:
            break
    return ids[len(request.prompt_ids) :], log_probs


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.8)])
def test_batched_equals_one_by_one(decoder, temperature, top_p):
    wanted = settings(temperature=temperature, top_p=top_p)
    found = decode(decoder, requests(), wanted)
    for request, one in zip(requests(), found, strict=True):
        ids, log_probs = one_by_one(decoder, request, wanted)
        assert one.token_ids == ids
        assert one.log_probs == pytest.approx(log_probs, abs=1e-5)
        assert one.finish_reason == ("stop" if ids[-1] in ENDS else "length")
    assert len({len(one.token_ids) for one in found}) > 2  # so that the batch was cut down


def test_greedy_equals_generate(decoder):
    found = decode(decoder, requests(count=1), settings(30, temperature=0.0))
    for prompt, one in zip(PROMPTS, found, strict=True):
        ids = torch.tensor([prompt])
        output = decoder.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=30,
            eos_token_id=sorted(ENDS),
        )
        assert one.token_ids == output[0, len(prompt) :].tolist()
        logits = decoder(output).logits[0, len(prompt) - 1 : -1].float()
        assert one.log_probs == pytest.approx(logits.log_softmax(-1).max(-1).values.tolist(), abs=1e-5)


def test_a_response_hangs_on_its_request_alone(decoder):
    wanted = requests()
    whole = decode(decoder, wanted, settings())
    assert [one.token_ids for one in decode(decoder, wanted[::-1], settings())[::-1]] == [
        one.token_ids for one in whole
    ]
    alone = decode(decoder, wanted[4:5], settings())
    assert alone[0].token_ids == whole[4].token_ids
    assert len({tuple(one.token_ids) for one in whole}) > 8
    others = decode(decoder, requests(name="other"), settings())
    assert [one.token_ids for one in others] != [one.token_ids for one in whole]


def test_a_longer_limit_goes_on_where_the_shorter_one_stopped(qwen3):
    short, long = decode(qwen3, requests(), settings(5)), decode(qwen3, requests(), settings(20))
    assert [one.token_ids for one in short] == [one.token_ids[:5] for one in long]
    assert any(one.finish_reason == "length" for one in short)


def test_all_end_tokens_end(qwen3):
    found = decode(qwen3, requests(count=16), settings(12))
    assert {one.token_ids[-1] for one in found if one.finish_reason == "stop"} == ENDS
    assert {one.finish_reason for one in found} == {"stop", "length"}
    for one in found:
        assert not ENDS & set(one.token_ids[:-1])
        assert one.finish_reason == "stop" or len(one.token_ids) == 12


def test_prompts_are_read_once_and_finished_rows_leave(qwen3):
    model, shapes = copy.deepcopy(qwen3), []
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    found = decode(model, requests(count=8), settings(60))
    hook.remove()
    assert shapes[0] == (len(PROMPTS), 12) and shapes[1] == (8 * len(PROMPTS), 1)
    rows = [shape[0] for shape in shapes[1:]]
    assert rows == sorted(rows, reverse=True)
    for step, held in enumerate(rows, start=1):
        running = sum(len(one.token_ids) > step for one in found)
        assert running <= held <= running / 0.75


def test_progress_counts_finished_responses(qwen3):
    told = []
    decode(qwen3, requests(), settings(), told.append)
    assert told == sorted(told) and told[-1] == len(requests())
    assert len(set(told)) > 3
    told.clear()
    for _ in decode_in_batches(qwen3, requests(), settings(), 5, told.append):
        pass
    assert told == sorted(told) and told[-1] == len(requests())


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_batches_hold_each_request_once(qwen3, batch_size):
    parts = list(decode_in_batches(qwen3, requests(), settings(), batch_size))
    assert all(len(part) <= batch_size for part in parts)
    found = [pair for part in parts for pair in part]
    assert sorted(place for place, _ in found) == list(range(len(requests())))
    whole = decode(qwen3, requests(), settings())
    assert all(one.token_ids == whole[place].token_ids for place, one in found)


def test_entropy_is_that_of_the_distributions_drawn_from(qwen3):
    for temperature, top_p in ((0.8, 1.0), (1.0, 0.9)):
        one = decode(qwen3, requests()[:1], settings(temperature=temperature, top_p=top_p))[0]
        ids = [*PROMPTS[0], *one.token_ids]
        total = sum(
            torch.distributions.Categorical(
                logits=log_policy(next_logits(qwen3, ids[:end]), temperature, top_p)[0]
            ).entropy()
            for end in range(len(PROMPTS[0]), len(ids))
        )
        assert one.entropy == pytest.approx(total.item(), abs=1e-4)


def test_frequencies_follow_the_policy(qwen3):
    found = decode(qwen3, requests(PROMPTS[:1], 4000), settings(1))
    tokens = torch.tensor([one.token_ids[0] for one in found])
    shares = torch.bincount(tokens, minlength=qwen3.config.vocab_size) / len(tokens)
    assert (shares - next_logits(qwen3, PROMPTS[0])[0].softmax(-1)).abs().max() < 0.03


def test_nothing_asked_is_nothing_drawn(qwen3):
    assert decode(qwen3, [], settings()) == []
    assert list(decode_in_batches(qwen3, [], settings(), 4)) == []


def test_what_does_not_fit_is_refused_before_anything_is_drawn(qwen3):
    with pytest.raises(UserError, match="the model holds 128; at most 116 would be right"):
        next(decode_in_batches(qwen3, requests(), settings(117), 1))


def test_broken_weights_are_told(qwen3):
    model = copy.deepcopy(qwen3)
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match="logits for token 1 of a response are not numbers"):
        decode(model, requests(), settings())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_what_the_cpu_draws(decoder):
    there = copy.deepcopy(decoder).cuda()
    for wanted in (settings(), settings(top_p=0.8), settings(temperature=0.0)):
        ours, theirs = decode(decoder, requests(), wanted), decode(there, requests(), wanted)
        assert [one.token_ids for one in theirs] == [one.token_ids for one in ours]

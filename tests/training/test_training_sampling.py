import pytest
import torch
from transformers import AutoModelForCausalLM

from bupo.training.sampling import SamplingSettings, sample, uniforms

EOS, PAD = 3, 0
PROMPTS = [[2, 5, 6, 7], [2, 9], [2, 11, 12, 13, 14, 15, 16]]


@pytest.fixture(scope="module")
def model(model_folder):
    return AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float64).eval()


def settings(temperature=1.0, max_new_tokens=20):
    return SamplingSettings(max_new_tokens, temperature, frozenset([EOS]), PAD)


def names(prompts, count=3):
    return [[f"{p}/{number}" for number in range(count)] for p in prompts]


def one_by_one(model, prompt, name, temperature, max_new_tokens):
    """The slow way: the whole sequence for each token, the sample alone."""
    random = uniforms([name], max_new_tokens)[0]
    ids, log_probs = list(prompt), []
    for step in range(max_new_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].float()
        log_policy = torch.log_softmax(logits / temperature, -1)
        cumulative = log_policy.double().exp().cumsum(-1)
        token = int((cumulative <= random[step] * cumulative[-1]).sum())
        ids.append(token)
        log_probs.append(log_policy[token].item())
        if token == EOS:
            break
    return ids[len(prompt) :], log_probs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_batched_sampling_equals_one_by_one(model, temperature):
    groups = sample(model, PROMPTS, names(PROMPTS), settings(temperature))
    lengths = set()
    for prompt, group, keys in zip(PROMPTS, groups, names(PROMPTS), strict=True):
        for one, key in zip(group, keys, strict=True):
            ids, log_probs = one_by_one(model, prompt, key, temperature, 20)
            assert one.token_ids == ids
            assert one.log_probs == pytest.approx(log_probs, abs=1e-5)
            assert one.finished == (ids[-1] == EOS)
            lengths.add(len(ids))
    assert len(lengths) > 2  # rows ended at different steps, so that the batch was cut down


def test_a_sample_hangs_on_its_name_alone(model):
    whole = sample(model, PROMPTS, names(PROMPTS), settings())
    backwards = sample(model, PROMPTS[::-1], names(PROMPTS)[::-1], settings())[::-1]
    alone = sample(model, PROMPTS[1:2], [["[2, 9]/2"]], settings())
    ids = [[one.token_ids for one in group] for group in whole]
    assert ids == [[one.token_ids for one in group] for group in backwards]
    assert alone[0][0].token_ids == ids[1][2]


def test_other_names_give_other_samples(model):
    first, second = (sample(model, PROMPTS, [[f"{seed}{p}"] for p in PROMPTS], settings()) for seed in "ab")
    assert [group[0].token_ids for group in first] != [group[0].token_ids for group in second]


def test_temperature_zero_takes_the_most_likely(model):
    groups = sample(model, PROMPTS, names(PROMPTS, 2), settings(temperature=0.0))
    for prompt, group in zip(PROMPTS, groups, strict=True):
        assert group[0].token_ids == group[1].token_ids
        with torch.no_grad():
            logits = model(torch.tensor([prompt + group[0].token_ids])).logits[0, len(prompt) - 1 : -1]
        assert logits.argmax(-1).tolist() == group[0].token_ids


def test_entropy_is_that_of_the_distributions_drawn_from(model):
    one = sample(model, PROMPTS[:1], [["x"]], settings(temperature=0.8))[0][0]
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[0] + one.token_ids])).logits[0, len(PROMPTS[0]) - 1 : -1]
    policy = torch.distributions.Categorical(logits=logits.float() / 0.8)
    assert one.entropy == pytest.approx(policy.entropy().sum().item(), abs=1e-4)


def test_frequencies_follow_the_policy(model):
    count = 4000
    group = sample(model, PROMPTS[:1], [[str(i) for i in range(count)]], settings(max_new_tokens=1))[0]
    seen = (
        torch.bincount(torch.tensor([one.token_ids[0] for one in group]), minlength=model.config.vocab_size)
        / count
    )
    with torch.no_grad():
        policy = model(torch.tensor([PROMPTS[0]])).logits[0, -1].softmax(-1)
    assert (seen - policy).abs().max() < 0.03


def test_uniforms_are_in_range_and_repeat():
    numbers = uniforms(["a", "b"], 1000)
    assert torch.equal(numbers, uniforms(["a", "b"], 1000))
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert not torch.equal(numbers[0], numbers[1])

"""Drawing by the inverse cumulative distribution: which token, how often, and from how many."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bupo.sampling.draw import draw, entropy, log_policy, uniforms

logits = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=40)
random = st.floats(0, 1, exclude_max=True)


@given(logits, random, st.sampled_from([0.5, 1.0, 1.7]))
def test_the_token_is_where_the_cumulative_distribution_passes_the_random_number(values, number, temperature):
    log_probs = log_policy(torch.tensor([values]), temperature)
    token = draw(log_probs, torch.tensor([number], dtype=torch.float64), temperature).item()
    cumulative = log_probs.double().exp().cumsum(-1)[0].tolist()
    assert number * cumulative[-1] < cumulative[token]
    assert token == 0 or cumulative[token - 1] <= number * cumulative[-1]


@given(logits, random, st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_holds_its_share(values, number, top_p):
    whole = log_policy(torch.tensor([values]), 1.0)[0].double().exp()
    nucleus = log_policy(torch.tensor([values]), 1.0, top_p)[0]
    kept = nucleus > -torch.inf
    assert nucleus.double().exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert whole[kept].sum() >= top_p - 1e-9
    assert whole[kept].sum() - whole[kept].min() < top_p + 1e-9
    assert not kept.all() or whole.sum() - whole.min() < top_p + 1e-9
    assert whole[kept].min() >= whole[~kept].max() if not kept.all() else True
    ratio = whole[kept] / nucleus[kept].double().exp()
    assert torch.allclose(ratio, whole[kept].sum().expand_as(ratio), rtol=1e-4)
    assert kept[draw(nucleus[None], torch.tensor([number], dtype=torch.float64), 1.0)]


def test_draws_follow_the_distribution():
    values = torch.tensor([[1.0, 0.0, 2.0, -3.0]])
    numbers = uniforms([7], 40_000)[0]
    for temperature in (1.0, 0.5):
        tokens = draw(log_policy(values, temperature).expand(len(numbers), -1), numbers, temperature)
        shares = torch.bincount(tokens, minlength=4) / len(numbers)
        assert torch.allclose(shares, torch.softmax(values[0] / temperature, -1), atol=0.01)


def test_an_impossible_token_is_never_drawn():
    values = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    numbers = torch.tensor([0.0, 0.4999999, 0.5, math.nextafter(1.0, 0.0)], dtype=torch.float64)
    log_probs = log_policy(values, 1.0).expand(4, -1)
    assert draw(log_probs, numbers, 1.0).tolist() == [1, 1, 3, 3]
    assert entropy(log_probs).tolist() == pytest.approx([math.log(2)] * 4)


def test_temperature_zero_is_greedy_whatever_top_p():
    values = torch.tensor([[0.1, 3.0, 2.9], [5.0, -1.0, 4.9]])
    log_probs = log_policy(values, 0.0, 0.1)
    assert torch.equal(log_probs, torch.log_softmax(values, -1))
    assert draw(log_probs, torch.full((2,), 0.999, dtype=torch.float64), 0.0).tolist() == [1, 0]


@given(logits)
def test_entropy_is_that_of_the_distribution(values):
    policy = torch.distributions.Categorical(logits=torch.tensor(values, dtype=torch.float64))
    assert entropy(log_policy(torch.tensor([values]), 1.0)).item() == pytest.approx(
        policy.entropy().item(), abs=1e-4
    )


@given(st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=5, unique=True), st.integers(1, 50))
def test_random_numbers_hang_on_the_key_alone_and_a_longer_row_starts_the_same(keys, count):
    rows = uniforms(keys, count)
    assert rows.dtype == torch.float64 and ((rows >= 0) & (rows < 1)).all()
    assert torch.equal(rows, uniforms(keys[::-1], count + 7).flip(0)[:, :count])
    assert len({tuple(row) for row in rows.tolist()}) == len(keys)

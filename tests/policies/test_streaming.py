import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bupo.policies import make_reference, policy_statistics
from bupo.policies.streaming import OnlineStatistics


def slow(logits):
    """Entropy in nats from float64."""
    log_p = logits.double().log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def streamed(logits, tile):
    online = OnlineStatistics()
    for part in logits.split(tile, -1):
        online.update(part.clone())
    return online.entropy


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1, 1e4), (5, 1e4), (5, -1e4), (30, 0), (300, 1e3)])
@pytest.mark.parametrize("tile", [512, 4096, 50_000])
def test_entropy_against_float64(scale, offset, tile):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(6, 50_000, dtype=torch.float64, generator=generator) * scale + offset).float()
    assert (streamed(logits, tile).double() - slow(logits)).abs().max() < 5e-5


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_uniform_logits_give_the_logarithm_of_the_vocabulary(offset):
    entropy = streamed(torch.full((2, 151_936), offset), 4096)
    assert (entropy - math.log(151_936)).abs().max() < 5e-5


def test_a_certain_policy_has_no_entropy():
    logits = torch.zeros(1, 1000)
    logits[0, 300] = 1e4
    assert streamed(logits, 128).item() == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tile=st.integers(1, 80),
    workspace=st.integers(1, 2000),
    scale=st.sampled_from([0.1, 1.0, 20.0]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_chunks_change_nothing(seed, tile, workspace, scale, temperature):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(3, 7, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(61, 8, generator=generator, dtype=torch.float64) * scale
    reference = make_reference(states[1], weight, temperature, tile)
    found = policy_statistics(states, weight, reference, temperature, tile, workspace)
    log_p = (states @ weight.T / temperature).log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_p[1])).sum(-1)
    torch.testing.assert_close(found.entropy, slow(states @ weight.T / temperature), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.kl, kl, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.top1, log_p.argmax(-1) == log_p[1].argmax(-1))
    assert found.top1[1].all() and found.kl[1].abs().max() < 1e-9


def test_chunks_change_nothing_in_float32():
    # logits of a few units: with larger ones the rounding of the products themselves, which depends on their
    # shapes and on the number of threads, is what differs
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(6, 40, 64, generator=generator) / 4
    weight = torch.randn(5000, 64, generator=generator)
    whole = policy_statistics(states, weight, make_reference(states[0], weight))
    for tile, workspace in ((137, 2**12), (1000, 2**21), (4999, 1)):
        parts = policy_statistics(
            states, weight, make_reference(states[0], weight, tile=tile), tile=tile, workspace=workspace
        )
        torch.testing.assert_close(parts.entropy, whole.entropy, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(parts.kl, whole.kl, rtol=1e-5, atol=1e-5)
        assert torch.equal(parts.top1, whole.top1)


def test_bfloat16_states_are_read_with_float32_logits():
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(2, 9, 64, generator=generator).bfloat16()
    weight = torch.randn(3000, 64, generator=generator).bfloat16()
    found = policy_statistics(states, weight).entropy
    assert found.dtype == torch.float32
    assert (found.double() - slow(states.double() @ weight.double().T)).abs().max() < 5e-5


def test_no_comparison_without_reference():
    found = policy_statistics(torch.randn(1, 2, 4), torch.randn(9, 4))
    assert found.kl is None and found.top1 is None


@pytest.mark.parametrize(("vocabulary", "temperature"), [(0, 1.0), (5, 0.0), (5, -1.0), (5, math.nan)])
def test_refusals(vocabulary, temperature):
    with pytest.raises(ValueError, match="positive temperature"):
        policy_statistics(torch.randn(1, 2, 4), torch.randn(vocabulary, 4), temperature=temperature)

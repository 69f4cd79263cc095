import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from bupo.policies import chunked_log_prob


def inputs(seed=0, length=13, width=16, vocabulary=301, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(length, width, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(vocabulary, (length,), generator=generator)
    upstream = torch.randn(length, generator=generator)
    return states, weight, targets, upstream


def read(states, weight, temperature=1.0, softcap=None):
    logits = states @ weight.T
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    return (logits / temperature).log_softmax(-1)


def plain(states, weight, targets, temperature, softcap=None):
    return read(states, weight, temperature, softcap).gather(1, targets[:, None])[:, 0]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tile=st.integers(1, 400),
    temperature=st.sampled_from([0.7, 1.0, 2.0]),
    softcap=st.sampled_from([None, 6.0]),
)
def test_values_and_gradients_against_autograd(seed, tile, temperature, softcap):
    states, weight, targets, upstream = inputs(seed, dtype=torch.float64)
    expected = plain(states, weight, targets, temperature, softcap)
    wanted = torch.autograd.grad(expected, (states, weight), upstream.double())
    found = chunked_log_prob(states, weight, targets, temperature, tile, softcap)
    got = torch.autograd.grad(found.log_prob, (states, weight), upstream.double())
    torch.testing.assert_close(found.log_prob, expected, rtol=0, atol=1e-10)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    log_p = read(states, weight, temperature, softcap)
    torch.testing.assert_close(found.entropy, -(log_p.exp() * log_p).sum(-1).detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_numerical_gradient(softcap):
    states, weight, targets, _ = inputs(length=3, width=4, vocabulary=11, dtype=torch.float64)

    def log_prob(x, w):
        return chunked_log_prob(x, w, targets, 1.3, 4, softcap).log_prob

    assert gradcheck(log_prob, (states, weight))


@pytest.mark.parametrize("softcap", [None, 6.0])
def test_float32_against_float64_autograd(softcap):
    states, weight, targets, upstream = inputs(vocabulary=3000)
    found = chunked_log_prob(states, weight, targets, 0.7, 256, softcap).log_prob
    exact = [each.detach().double().requires_grad_() for each in (states, weight)]
    expected = plain(*exact, targets, 0.7, softcap)
    assert (found - expected).abs().max() < 5e-5
    wanted = torch.autograd.grad(expected, exact, upstream.double())
    for mine, theirs in zip(torch.autograd.grad(found, (states, weight), upstream), wanted, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_float32_tiles_change_nothing():
    states, weight, targets, upstream = inputs(vocabulary=5000)
    whole = chunked_log_prob(states, weight, targets).log_prob
    expected = torch.autograd.grad(whole, (states, weight), upstream)
    for tile in (77, 1024, 5000):
        log_prob = chunked_log_prob(states, weight, targets, tile=tile).log_prob
        assert (log_prob - whole).abs().max() <= 1e-5 * whole.abs().max()
        for mine, theirs in zip(
            torch.autograd.grad(log_prob, (states, weight), upstream), expected, strict=True
        ):
            assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_bfloat16_inputs_keep_float32_statistics():
    states, weight, targets, upstream = inputs(dtype=torch.bfloat16)
    found = chunked_log_prob(states, weight, targets, tile=64).log_prob
    expected = plain(states.double(), weight.double(), targets, 1.0)
    assert found.dtype == torch.float32
    assert (found - expected).abs().max() < 1e-4
    wanted = torch.autograd.grad(expected, (states, weight), upstream.double())
    for mine, theirs in zip(torch.autograd.grad(found, (states, weight), upstream), wanted, strict=True):
        assert mine.dtype == torch.bfloat16
        assert (mine - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_an_offset_costs_no_digits():
    states, weight, targets, _ = inputs()
    with torch.no_grad():
        shifted = torch.cat([states, torch.full((13, 1), 100.0)], 1)
        widened = torch.cat([weight, torch.full((301, 1), 100.0)], 1)  # adds 1e4 to every logit
        logits = shifted @ widened.T
        found = chunked_log_prob(shifted, widened, targets, tile=50).log_prob
    expected = logits.double().log_softmax(-1).gather(1, targets[:, None])[:, 0]
    assert (found - expected).abs().max() < 5e-5


def test_only_what_needs_a_gradient_gets_one():
    states, weight, targets, _ = inputs()
    chunked_log_prob(states, weight.detach(), targets).log_prob.sum().backward()
    assert states.grad is not None and weight.grad is None
    states, weight, targets, _ = inputs()
    found = chunked_log_prob(states.detach(), weight, targets)
    assert not found.entropy.requires_grad
    found.log_prob.sum().backward()
    assert states.grad is None and weight.grad is not None


def test_refusals():
    states, weight, targets, _ = inputs()
    with pytest.raises(ValueError, match="outside the vocabulary of 301"):
        chunked_log_prob(states, weight, targets + 301)
    with pytest.raises(ValueError, match="outside the vocabulary of 301"):
        chunked_log_prob(states, weight, targets - 301)
    with pytest.raises(ValueError, match=r"not \[13, 16\], \[301, 16\] and \[12\]"):
        chunked_log_prob(states, weight, targets[:-1])
    with pytest.raises(ValueError, match="positive temperature"):
        chunked_log_prob(states, weight, targets, temperature=0)

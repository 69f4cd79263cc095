import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bupo.policies import kl_to_each, make_reference, policy_statistics
from bupo.policies.streaming import blocks


def read(states, weight, temperature=1.0, softcap=None):
    """log pi over the whole vocabulary, float64."""
    logits = states.double() @ weight.double().T
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    return (logits / temperature).log_softmax(-1)


def slow(log_p):
    return -(log_p.exp() * log_p).sum(-1)


def kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    length=st.integers(1, 9),
    tile=st.integers(1, 80),
    workspace=st.integers(1, 2000),
    scale=st.sampled_from([0.1, 1.0, 20.0]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    softcap=st.sampled_from([None, 40.0]),
)
def test_any_tile_and_workspace_against_the_definitions(
    seed, length, tile, workspace, scale, temperature, softcap
):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(3, length, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(61, 8, generator=generator, dtype=torch.float64) * scale
    tokens = torch.randint(61, (length,), generator=generator)
    reference = make_reference(states[1], weight, temperature, tile, softcap, tokens)
    found = policy_statistics(states, weight, reference, temperature, tile, workspace, softcap)
    log_p = read(states, weight, temperature, softcap)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(found.entropy, slow(log_p), **close)
    torch.testing.assert_close(found.kl, kl(log_p, log_p[1]), **close)
    likely = log_p.gather(-1, reference.top.expand(3, -1)[..., None])[..., 0]
    assert torch.equal(found.top1, log_p.amax(-1) - likely < 1e-12)
    assert found.top1[1].all()
    torch.testing.assert_close(reference.entropy, slow(log_p[1]), **close)
    torch.testing.assert_close(reference.log_prob, log_p[1].gather(1, tokens[:, None])[:, 0], **close)
    each = kl_to_each(states[0], states, weight, temperature, softcap, tile=tile, workspace=workspace)
    torch.testing.assert_close(each, kl(log_p[0], log_p), **close)
    assert each[0].max() < 1e-12


def test_chunks_change_nothing_in_float32():
    # logits of a few units: with larger ones the rounding of the products themselves, which depends on their
    # shapes and on the number of threads, is what differs
    generator = torch.Generator().manual_seed(3)
    states = torch.randn(6, 40, 64, generator=generator) / 4
    weight = torch.randn(5000, 64, generator=generator)
    tokens = torch.randint(5000, (40,), generator=generator)

    def numbers(tile, workspace):
        reference = make_reference(states[0], weight, tile=tile, tokens=tokens)
        found = policy_statistics(states, weight, reference, tile=tile, workspace=workspace)
        each = kl_to_each(states[0], states[1:], weight, tile=tile, workspace=workspace)
        return found, (found.entropy, reference.entropy, reference.log_prob, found.kl, each)

    whole, expected = numbers(None, None)
    for tile, workspace in ((137, 2**12), (1000, 2**21), (4999, 1)):
        parts, got = numbers(tile, workspace)
        for mine, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)
        assert torch.equal(parts.top1, whole.top1)


def test_an_offset_costs_no_more_than_the_logits_lose():
    # One more column of the states adds 1e4 to every logit, exactly. What rounding then leaves of the float32
    # logits is what every number is judged on.
    generator = torch.Generator().manual_seed(5)
    states = torch.randint(-8, 9, (4, 30, 32), generator=generator) / 32
    weight = torch.randint(-64, 65, (3000, 32), generator=generator) / 64
    shifted = torch.cat([states, torch.full((4, 30, 1), 100.0)], -1)
    widened = torch.cat([weight, torch.full((3000, 1), 100.0)], -1)
    log_p = (shifted @ widened.T).double().log_softmax(-1)
    assert (log_p - read(states, weight)).abs().max() < 1e-2  # the offset changes the policy by rounding only
    tokens = log_p[0].argmin(-1)
    reference = make_reference(shifted[0], widened, tokens=tokens)
    found = policy_statistics(shifted, widened, reference, tile=700)
    each = kl_to_each(shifted[0], shifted[1:], widened, tile=700)
    assert (found.entropy - slow(log_p)).abs().max() < 5e-5
    assert (found.kl - kl(log_p, log_p[0])).abs().max() < 5e-5
    assert (each - kl(log_p[0], log_p[1:])).abs().max() < 5e-5
    assert (reference.log_prob - log_p[0].gather(1, tokens[:, None])[:, 0]).abs().max() < 5e-5


def test_kl_keeps_its_digits_where_the_others_sit_elsewhere():
    """Each policy at an offset of its own, tiles that begin far below their later maximum."""
    generator = torch.Generator().manual_seed(6)
    states = torch.eye(3)[:, None]
    logits = torch.randn(3, 4000, generator=generator)
    logits[1] += 1e4
    logits[2] += torch.linspace(-300, 0, 4000)
    log_p = logits.double().log_softmax(-1)[:, None]
    each = kl_to_each(states[0], states, logits.T.contiguous(), tile=100)
    torch.testing.assert_close(each.double(), kl(log_p[0], log_p), rtol=1e-6, atol=5e-5)


def test_bfloat16_states_are_read_with_float32_logits():
    generator = torch.Generator().manual_seed(4)
    states = torch.randn(2, 9, 64, generator=generator).bfloat16()
    weight = torch.randn(3000, 64, generator=generator).bfloat16()
    found = policy_statistics(states, weight).entropy
    assert found.dtype == torch.float32
    assert (found.double() - slow(read(states, weight))).abs().max() < 5e-5


def test_products_round_the_operands_and_nothing_else():
    generator = torch.Generator().manual_seed(7)
    states, weight = torch.randn(2, 9, 64, generator=generator), torch.randn(3000, 64, generator=generator)
    rounded = policy_statistics(states, weight, products="bfloat16").entropy
    assert rounded.dtype == torch.float32
    expected = slow(read(states.bfloat16(), weight.bfloat16()))
    assert (rounded.double() - expected).abs().max() < 5e-5
    assert (expected - slow(read(states, weight))).abs().max() > 1e-3
    kept = policy_statistics(states.bfloat16(), weight.bfloat16(), products="float32").entropy
    assert (kept.double() - expected).abs().max() < 5e-5


def test_no_comparison_without_reference():
    found = policy_statistics(torch.randn(1, 2, 4), torch.randn(9, 4))
    assert found.kl is None and found.top1 is None
    assert make_reference(torch.randn(2, 4), torch.randn(9, 4)).log_prob is None
    assert kl_to_each(torch.randn(2, 4), torch.randn(0, 2, 4), torch.randn(9, 4)).shape == (0, 2)


@given(length=st.integers(0, 50), most=st.integers(-1, 60))
def test_blocks_cover_everything_once(length, most):
    cut = blocks(length, most)
    assert [i for each in cut for i in range(length)[each]] == list(range(length))
    sizes = [each.stop - each.start for each in cut]
    assert max(sizes) <= max(1, most) and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("vocabulary", "temperature"), [(0, 1.0), (5, 0.0), (5, -1.0), (5, math.nan)])
def test_refusals(vocabulary, temperature):
    states, weight = torch.randn(1, 2, 4), torch.randn(vocabulary, 4)
    with pytest.raises(ValueError, match="positive temperature"):
        policy_statistics(states, weight, temperature=temperature)
    with pytest.raises(ValueError, match="positive temperature"):
        make_reference(states[0], weight, temperature)
    with pytest.raises(ValueError, match="positive temperature"):
        kl_to_each(states[0], states, weight, temperature)


def test_tokens_and_shapes_are_checked():
    states, weight = torch.randn(2, 4), torch.randn(5, 4)
    for tokens in (torch.tensor([0, 5]), torch.tensor([-1, 0])):
        with pytest.raises(ValueError, match="outside the vocabulary of 5"):
            make_reference(states, weight, tokens=tokens)
    with pytest.raises(ValueError, match=r"not \[2, 4\] and \[3, 1, 4\]"):
        kl_to_each(states, torch.randn(3, 1, 4), weight)

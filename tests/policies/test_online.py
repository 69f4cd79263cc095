import math
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bupo.policies import divergence
from bupo.policies.online import Online, _compiled, tile_statistics


def slow(logits):
    """Entropy in nats from float64."""
    log_p = logits.double().log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def streamed(logits, tile, temperature=1.0, softcap=None, tokens=None):
    online = Online(logits.shape[:-1], logits, temperature, softcap)
    for first in range(0, logits.shape[-1], tile):
        place = None if tokens is None else tokens - first
        online.update(slice(None), logits[..., first : first + tile].clone(), place)
        online.advance()
    return online


# Judged on the same float32 logits: at an offset of 1e4 they themselves are 1e-3 apart, whatever reads them.
@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (1, 1e4), (5, 1e4), (5, -1e4), (30, 0), (300, 1e3)])
@pytest.mark.parametrize("tile", [512, 4096, 50_000])
def test_entropy_and_log_prob_against_float64(scale, offset, tile):
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(6, 50_000, dtype=torch.float64, generator=generator) * scale + offset).float()
    tokens = logits.topk(4).indices[:, 3]
    online = streamed(logits, tile, tokens=tokens)
    assert (online.entropy.double() - slow(logits)).abs().max() < 5e-5
    log_p = logits.double().log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    assert (online.log_prob.double() - log_p).abs().max() < 5e-5


@pytest.mark.parametrize("offset", [0.0, 1e4, -1e4])
def test_uniform_logits_give_the_logarithm_of_the_vocabulary(offset):
    entropy = streamed(torch.full((2, 151_936), offset), 4096).entropy
    assert (entropy - math.log(151_936)).abs().max() < 5e-6


def test_a_certain_policy_has_no_entropy():
    logits = torch.zeros(1, 1000)
    logits[0, 300] = 1e4
    assert 0 <= streamed(logits, 128).entropy.item() < 1e-20


def test_nan_and_infinity_are_not_hidden():
    logits = torch.zeros(3, 100)
    logits[0, 3], logits[1, 70] = torch.nan, torch.inf
    entropy = streamed(logits, 25).entropy
    assert entropy.isnan().tolist() == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    tile=st.integers(1, 80),
    scale=st.sampled_from([0.1, 1.0, 20.0, 1000.0]),
    temperature=st.sampled_from([0.5, 1.0, 3.0]),
    softcap=st.sampled_from([None, 5.0]),
    rising=st.booleans(),
)
def test_every_order_of_tiles(seed, tile, scale, temperature, softcap, rising):
    logits = torch.randn(3, 61, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * scale
    logits = logits.sort(-1, descending=not rising).values  # the maximum moves with every tile, or never
    tokens = torch.tensor([0, 30, 60])
    online = streamed(logits, tile, temperature, softcap, tokens)
    read = (softcap * torch.tanh(logits / softcap) if softcap else logits) / temperature
    log_p = read.log_softmax(-1)
    torch.testing.assert_close(online.entropy, slow(read), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(online.log_prob, log_p.gather(1, tokens[:, None])[:, 0], rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(
        online.max / temperature + online.log_sum, read.logsumexp(-1), rtol=1e-12, atol=1e-9
    )


def test_rows_may_come_a_few_at_a_time():
    logits = torch.randn(4, 3, 20, generator=torch.Generator().manual_seed(1))
    online = Online((4, 3), logits)
    for first in (0, 13):
        for here in (slice(0, 1), slice(1, 4)):
            online.update(here, logits[here, :, first : first + 13].clone())
        online.advance()
    torch.testing.assert_close(online.entropy.double(), slow(logits), rtol=0, atol=1e-6)
    torch.testing.assert_close(online.max, logits.amax(-1), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_compiled_passes_are_the_same(offset):
    """What CUDA runs, compiled for the CPU."""
    generator = torch.Generator().manual_seed(2)
    for columns in (100, 130, 70):
        logits = torch.randn(3, 7, columns, generator=generator) * 4 + offset
        for compared in (None, torch.randn(7, columns, generator=generator)):
            expected = tile_statistics(logits.double(), 1.7, compared)
            found = _compiled()(logits, 1.7, compared)
            for mine, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5)
        peak = logits.amax(-1)
        expected = divergence.pair_statistics(logits.double(), peak, 1.7)
        found = divergence._compiled()(logits, peak, 1.7)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-5)

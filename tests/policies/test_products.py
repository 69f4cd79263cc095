import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bupo.policies import brgemm, policy_statistics, products
from bupo.policies.products import Factor, product

needs_kernel = pytest.mark.skipif(not brgemm.available(64), reason="the CPU has no bfloat16 products")


def pair(rows, columns, width, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(rows, width, generator=generator).to(dtype)
    return states, torch.randn(columns, width, generator=generator).to(dtype)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 70),
    columns=st.integers(0, 200),
    width=st.integers(1, 70),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    given_memory=st.booleans(),
)
@example(rows=3, columns=0, width=4, dtype=torch.bfloat16, given_memory=False)
def test_products_of_any_shape_and_type(rows, columns, width, dtype, given_memory):
    states, weight = pair(rows, columns, width, dtype)
    wide = torch.promote_types(dtype, torch.float32)
    out = torch.full((rows * columns + 5,), torch.nan, dtype=wide) if given_memory else None
    found = Factor(weight).times(states, out)
    assert found.shape == (rows, columns) and found.dtype == wide
    torch.testing.assert_close(found.double(), states.double() @ weight.double().T, rtol=1e-5, atol=1e-4)
    assert out is None or out[rows * columns :].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_operands_need_not_be_contiguous(dtype):
    states, weight = pair(30, 90, 64, dtype)
    expected = states.double() @ weight.double().T
    torch.testing.assert_close(product(states.T.contiguous().T, weight).double(), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(product(states, weight.T.contiguous().T).double(), expected, rtol=0, atol=1e-4)


def relative_error(found, states, weight):
    exact = states.double() @ weight.double().T
    return ((found - exact).abs() / exact.abs().clamp_min(1)).max()


def test_bfloat16_logits_are_never_made():
    states, weight = pair(40, 300, 256, torch.bfloat16)
    assert relative_error(product(states, weight), states, weight) < 5e-5
    assert relative_error(states @ weight.T, states, weight) > 1e-3  # what the plain product would do


def test_float32_products_round_no_operand():
    states, weight = pair(40, 300, 256, torch.float32)
    assert relative_error(product(states, weight), states, weight) < 5e-5


@needs_kernel
def test_rows_are_shared_out_among_threads():
    states, weight = pair(150, 130, 64, torch.bfloat16)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = product(states, weight)
        torch.set_num_threads(3)
        assert torch.equal(product(states, weight), one)
    finally:
        torch.set_num_threads(before)


@needs_kernel
def test_the_kernel_is_used_only_where_it_may_be(monkeypatch):
    assert not brgemm.available(63)
    with monkeypatch.context() as off:
        off.setattr(torch.backends.mkldnn, "enabled", False)
        assert not brgemm.available(64)
    assert brgemm.available(64)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert brgemm._kernel.__wrapped__() is None
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr(brgemm, "_BRGEMM", "no such name")
    assert brgemm._kernel.__wrapped__() is None
    monkeypatch.undo()
    monkeypatch.setattr(brgemm, "_right", lambda kernel: False)
    assert brgemm._kernel.__wrapped__() is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_fast_kernels_the_numbers_are_the_same(dtype, monkeypatch):
    states, weight = pair(40, 300, 64, dtype)
    fast = policy_statistics(states[None], weight, tile=100).entropy
    monkeypatch.setattr(brgemm, "available", lambda width: False)
    monkeypatch.setattr(products, "_onednn_linear", lambda: None)
    slow = policy_statistics(states[None], weight, tile=100).entropy
    torch.testing.assert_close(slow, fast, rtol=0, atol=1e-5)

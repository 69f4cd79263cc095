"""The benchmarks' own logic, at shapes that take no time."""

import importlib
import subprocess
import sys

import pytest
import torch

from bupo.policies import InternalPolicies, LayerIndex

TINY = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "tie_word_embeddings": True,
}


@pytest.fixture
def benchmark(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "benchmarks")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the benchmarks set for themselves
    return importlib.import_module


def test_the_gpu_benchmark_measures_every_way(benchmark):
    found = benchmark("gpu_entropy").measure(TINY, "cpu", tokens=20, rounds=1)
    each = found["seconds_for_100000_tokens"]
    assert set(each) == {"sweep", "reading", "analysis", "forward", "products", "authors"}
    assert all(value > 0 for value in each.values())
    assert found["reading_over_products"] == pytest.approx(each["reading"] / each["products"], rel=1e-2)


def test_the_gpu_benchmark_floor_does_all_products(benchmark, monkeypatch):
    module = benchmark("gpu_entropy")
    monkeypatch.setattr(module, "FLOOR_ROWS", 7)
    done, multiply = [], torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: done.append(len(a) * b.shape[1]) or multiply(a, b))
    module.products(torch.randn(20, 4), torch.randn(7, 4), 17)
    assert sum(done) == 20 * 17


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_benchmark_refuses_without_a_gpu(root):
    script = root / "benchmarks" / "gpu_entropy.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].startswith("benchmarks/gpu_entropy.py needs a CUDA device")


def test_the_sweep_and_the_authors_agree(benchmark):
    common, sweep = benchmark("entropy_common"), benchmark("entropy_sweep")
    model = common.make_model(64, 4, 500, attn_implementation="eager")
    ids = common.make_ids(30, 500)
    theirs = common.authors_way(model, ids)
    entropy = sweep.sweep(InternalPolicies(model), ids)
    assert sweep.largest_difference(entropy, theirs) < 5e-5
    theirs["ffn 4 out"][3] += 1
    assert sweep.largest_difference(entropy, theirs) > 0.9


def test_the_ways_of_phase_1_agree(benchmark):
    common, phase1 = benchmark("entropy_common"), benchmark("phase1")
    model, ids = common.make_model(64, 4, 500), common.make_ids(30, 500)
    means, gradients = [], []
    for way in phase1.WAYS:
        means.append(phase1.step(model, ids, LayerIndex(2, 4), way))
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert means == pytest.approx([means[0]] * 3, abs=1e-5)
    for name, mine in gradients[0].items():
        for others in gradients[1:]:
            if mine is None:
                assert others[name] is None
            else:
                torch.testing.assert_close(others[name], mine, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from Linux's /proc")
def test_a_peak_is_what_is_held_at_a_time(benchmark):
    peak_mib = benchmark("entropy_common").peak_mib

    def hold(mib):
        torch.ones(mib, 2**18)
        torch.ones(mib, 2**18)

    assert 60 < peak_mib(lambda: hold(64), lambda: hold(1)) < 80

"""The program behind ``make gpu-check``, at a tiny size on the CPU: does it run, and can it fail?"""

import json
import subprocess
import sys

import pytest
import torch


@pytest.fixture
def benchmarks(root, monkeypatch):
    folder = root / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    return folder


def check(benchmarks, *arguments):
    return subprocess.run(
        [sys.executable, str(benchmarks / "gpu_check.py"), *arguments], capture_output=True, text=True
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_passes(benchmarks, tmp_path):
    result = check(benchmarks, "--out", str(tmp_path / "gpu_check.json"))
    assert result.returncode == 3
    assert (
        result.stdout == "gpu-check: not run, this machine has no CUDA device; none of it counts as passed.\n"
    )
    assert not (tmp_path / "gpu_check.json").exists()


@pytest.mark.parametrize(
    ("states", "status"),
    [(("ok", "ok"), 0), (("ok", "not run"), 3), (("not run", "failed"), 1), (("failed", "ok"), 1)],
)
def test_only_ok_passes(benchmarks, states, status):
    from gpu_check import exit_status

    assert exit_status({str(number): {"status": state} for number, state in enumerate(states)}) == status


def test_an_outcome_is_one_line(benchmarks):
    from gpu_check import line

    assert (
        line("run", {"status": "not run", "reason": "vLLM is\nnot there"})
        == "run       not run: vLLM is not there"
    )


def numbers(**changes):
    ways = {
        "chunked": {"seconds": 1.0, "peak_gib": 20, "from_chunked": 0.0},
        "logits": {"seconds": 1.1, "peak_gib": 30, "from_chunked": 0.02},
        "full depth": {"seconds": 4.0, "peak_gib": 80, "from_chunked": 0.8},
        "authors": {"does_not_fit": "CUDA out of memory"},
    }
    return {**ways, **{way.replace("_", " "): value for way, value in changes.items()}}


def test_a_step_has_to_be_ours_and_cheaper(benchmarks):
    from gpu_check_step import judge_step

    judge_step(numbers(), measured=True)
    slower = {"seconds": 5.0, "peak_gib": 30, "from_chunked": 0.02}
    with pytest.raises(AssertionError, match="seconds of logits is not below that of full depth"):
        judge_step(numbers(logits=slower), measured=True)
    judge_step(numbers(logits=slower), measured=False)
    with pytest.raises(AssertionError, match="logits has another policy"):
        judge_step(numbers(logits={**slower, "from_chunked": 0.8}), measured=False)


def steps(differences=(0.001, 0.002, 0.001), phases=(1, 2, 2, 2), gradient=1.0):
    lines = [
        {"bupo/phase": phase, "actor/grad_norm": gradient, "perf/time_per_step": 2.0} for phase in phases
    ]
    for line, difference in zip(lines[1:], differences, strict=True):
        line["training/rollout_probs_diff_mean"] = difference
    return lines


def test_a_run_needs_rollouts_with_the_weights_just_trained(benchmarks):
    from gpu_check_run import judge_run

    assert judge_run(steps())["rollout_probs_diff_mean"] == 0.002
    for lines, told in (
        (steps(differences=(0.254, 0.097, 0.007)), "rollouts are of other weights"),
        (steps(phases=(2, 2, 2, 2)), "phases of the steps are"),
        (steps(gradient=0.0), "a step trained nothing"),
    ):
        with pytest.raises(AssertionError, match=told):
            judge_run(lines)


@pytest.mark.usefixtures("process_group")
def test_packed_sequences_that_see_each_other_are_found(benchmarks, monkeypatch, tmp_path):
    import gpu_check_engine

    gpu_check_engine.check_packed(gpu_check_engine.REHEARSAL, tmp_path)
    make = gpu_check_engine.make_batch

    def one_text(rows, policy, packed, **extra):
        batch = make(rows, policy, packed, **extra)
        if packed:  # positions that go on from one sequence to the next
            batch["position_ids"].values().copy_(torch.arange(sum(len(row) for row in rows)))
        return batch

    monkeypatch.setattr(gpu_check_engine, "make_batch", one_text)
    with pytest.raises(AssertionError, match="packed is another policy"):
        gpu_check_engine.check_packed(gpu_check_engine.REHEARSAL, tmp_path)


@pytest.mark.slow
def test_the_whole_program_runs(benchmarks, tmp_path):
    result = check(benchmarks, "--rehearse", "--out", str(tmp_path / "numbers.json"))
    assert result.stdout.split("\n") == [
        f"{name:9} ok" for name in ("registry", "packed", "bf16", "step", "run")
    ] + [""], result.stderr
    assert result.returncode == 0
    found = json.loads((tmp_path / "numbers.json").read_text())
    assert found["device"].startswith("none: a rehearsal")
    assert set(found["checks"]["step"]["numbers"]) == {"chunked", "logits", "full depth", "authors"}

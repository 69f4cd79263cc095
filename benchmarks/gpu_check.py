"""What only a GPU can show: run this once on such a machine, by ``make gpu-check``.

    python benchmarks/gpu_check.py [--out benchmarks/gpu_check.json] [--rehearse]

One line for each check: ok, "not run" with the reason, or "failed" with the reason. Exits with 0 if every
check is ok, with 1 if one failed, and with 3 if none failed but not all were run, as without a GPU.
``--rehearse`` runs the same program at a tiny size on the CPU: it tests the program and says nothing about a
GPU.

registry  verl chooses our engine for CUDA
packed    phase 1 with flash attention on packed sequences gives the log-probs of padded ones
bf16      an update in bfloat16; nothing reaches the layers above the internal policy's
step      Qwen3-4B's shape, random weights, layer 6 of 36: time and peak memory of a BuPO step, with chunked
          log-probs and with logits, beside full depth and beside the authors' way (full depth, both heads)
run       four steps of a tiny model through the command line, rollouts by vLLM of the weights just trained
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

CHECKS = ("registry", "packed", "bf16", "step", "run")
LIMIT_S = 1200
NO_GPU = "gpu-check: not run, this machine has no CUDA device; none of it counts as passed."
SEEN = ("torch", "transformers", "verl", "vllm", "flash-attn")


def one_check(name: str, rehearse: bool) -> dict[str, Any]:
    """A check in this process."""
    import gpu_check_engine as engine
    from gpu_check_run import check_run
    from gpu_check_step import check_step

    setting = engine.REHEARSAL if rehearse else engine.GPU
    checks = {
        "registry": engine.check_registry,
        "packed": engine.check_packed,
        "bf16": engine.check_bf16,
        "step": check_step,
        "run": check_run,
    }
    if name in ("packed", "bf16"):
        engine.start_process_group(setting.device)
    with tempfile.TemporaryDirectory() as folder:
        try:
            return {"status": "ok", "numbers": checks[name](setting, Path(folder))}
        except engine.NotRunError as error:
            return {"status": "not run", "reason": str(error)}
        except Exception as error:
            return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}


def separately(name: str, rehearse: bool) -> dict[str, Any]:
    """A check in a process of its own, whose memory and mistakes are its own too."""
    command = [sys.executable, __file__, "--check", name, *(["--rehearse"] if rehearse else [])]
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return {"status": "failed", "reason": f"it took more than {LIMIT_S} s"}
    if result.returncode:
        return {"status": "failed", "reason": f"its process ended with status {result.returncode}"}
    return json.loads(result.stdout.splitlines()[-1])


def line(name: str, found: dict[str, Any]) -> str:
    """What a check's outcome looks like."""
    reason = " ".join(str(found.get("reason", "")).split())
    return f"{name:9} {found['status']}" + (f": {reason}" if reason else "")


def exit_status(results: dict[str, dict[str, Any]]) -> int:
    """0: every check is ok; 1: one failed; 3: none failed, but not all were run."""
    states = {found["status"] for found in results.values()}
    return 1 if "failed" in states else 3 if states != {"ok"} else 0


def machine() -> dict[str, Any]:
    """The device and what runs on it."""
    import torch

    versions = {}
    for name in SEEN:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if gpu else f"none: a rehearsal on {platform.machine()}",
        "memory_gib": round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1) if gpu else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="file for the numbers")
    parser.add_argument("--rehearse", action="store_true", help="at a tiny size on the CPU")
    parser.add_argument("--check", choices=CHECKS, help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rehearse:
        os.environ["VERL_PLATFORM"] = "cpu"
    if arguments.way:
        from gpu_check_engine import GPU, REHEARSAL
        from gpu_check_step import measure_way

        setting = REHEARSAL if arguments.rehearse else GPU
        print(json.dumps(measure_way(setting, arguments.folder, arguments.way)))
        return 0
    if arguments.check:
        print(json.dumps(one_check(arguments.check, arguments.rehearse)))
        return 0
    import torch

    if not arguments.rehearse and not torch.cuda.is_available():
        print(NO_GPU)
        return 3
    results = {}
    for name in CHECKS:
        results[name] = separately(name, arguments.rehearse)
        print(line(name, results[name]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({**machine(), "checks": results}, indent=2) + "\n")
    return exit_status(results)


if __name__ == "__main__":
    sys.exit(main())

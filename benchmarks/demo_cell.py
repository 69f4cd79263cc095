"""The whole time of one training run of the demo, by part.

    python benchmarks/demo_cell.py [--config CONFIG] [--rounds 3] [--out benchmarks/demo_cell.json]

Trains the cell anew, as the workflow does (one process, one thread), in a folder of its own, from the
project's root. "start" is everything before the first step and after the last one: interpreter, imports,
model, data, export; "rest" what a step does beside the parts that are named.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PARTS = {
    "sample": "timing_s/rollout/sample",
    "grade": "timing_s/rollout/grade",
    "old log-probs, other policy": "timing_s/old_log_prob",
    "update": "timing_s/update_actor",
    "checkpoints": "timing_s/save_checkpoint",
    "snapshots": "timing_s/save_snapshot",
}


def measure(config: Path) -> dict[str, Any]:
    """Seconds of one run by part, its processor time and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "bupo.training", "--config", str(config), "--out", str(out)]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = sum(line["timing_s/step"] for line in lines)
    parts = {name: sum(line.get(key, 0.0) for line in lines) for name, key in PARTS.items()}
    parts = {"start": wall - steps, **parts, "rest": steps - sum(parts.values())}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_mib": after.ru_maxrss / 1024,
        "steps": len(lines),
        "parts_s": parts,
    }


def main() -> None:
    """Measure the rounds and print, or write, the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", type=Path, default=Path("results/demo/runs/tiny_qwen3/bupo-k5-s4/seed1/config.yaml")
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    rounds = [measure(arguments.config) for _ in range(arguments.rounds)]

    def median(values: list[float]) -> float:
        return round(statistics.median(values), 2)

    found = {
        "cell": "/".join(arguments.config.parts[-4:-1]),
        "steps": rounds[0]["steps"],
        "rounds": len(rounds),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        **{key: median([one[key] for one in rounds]) for key in ("wall_s", "cpu_s", "peak_mib")},
        "wall_s_of_rounds": [round(one["wall_s"], 1) for one in rounds],
        "parts_s": {part: median([one["parts_s"][part] for one in rounds]) for part in rounds[0]["parts_s"]},
    }
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()

"""Time and memory of planning 10,000 jobs: a dry run of a large grid, beside Snakemake alone.

    python benchmarks/dry_run.py [--rounds 3] [--profile slurm] [--out benchmarks/dry_run.json]

The grid is made of the project's own models, methods, sets and rules, in a temporary folder, with nothing
done yet. Beside it, in turn, the same command plans a Snakefile with as many jobs of the same shape (one job
that a training waits for, a training, one evaluation for each benchmark) and nothing else: no package, no
configuration, no functions. "first" is the run that also writes a spec file for each cell, as after a change
of the experiment; the others find them written. Memory is the peak of the proportional set sizes (PSS) of
the process and all its children, sampled every 20 ms. On a machine that others use too, the seconds of
processor time say more than those of the clock.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "rules", "configs", "envs", "profiles", "slurm")
BENCHMARKS = ("math500", "amc23", "aime24", "aime25", "minerva", "aime22")
LAYERS = tuple(range(2, 24, 2))
SEEDS = (1, 2, 3, 4, 5)
MEASURES = ("seconds", "cpu_seconds", "mib")

EXPERIMENT = {
    "description": "A grid of about 10,000 jobs.",
    "models": {"train": ["qwen3_4b", "octothinker_3b"], "analyse": ["qwen3_4b", "octothinker_3b"]},
    "data": {"train": ["math"], "benchmarks": list(BENCHMARKS)},
    "analysis": {"settings": "paper", "problems": ["math500"]},
    "training": {"engine": "gpu", "steps": 300},
    "evaluation": {"settings": "paper"},
    "grid": [
        {"method": ["grpo", "ppo", "rloo", "reinforce_plus_plus"], "seed": list(SEEDS)},
        {"method": "intergrpo", "layer": list(LAYERS), "seed": list(SEEDS)},
        {
            "method": "bupo",
            "layer": list(LAYERS),
            "iterative_steps": list(range(10, 110, 10)),
            "seed": list(SEEDS),
        },
    ],
}

BARE = """
rule all:
    input:
        expand("evaluation/{{cell}}/{{benchmark}}.json", cell=range({cells}), benchmark=range({benchmarks}))

rule configure:
    output: "runs/{{cell}}/config.yaml"
    shell: "touch {{output}}"

rule train:
    input: "runs/{{cell}}/config.yaml"
    output: "runs/{{cell}}/done.json"
    shell: "touch {{output}}"

rule evaluate:
    input: "runs/{{cell}}/done.json"
    output: "evaluation/{{cell}}/{{benchmark}}.json"
    shell: "touch {{output}}"
"""


def lay_out(folder: Path) -> None:
    """The project's workflow with the large grid, which is JSON: that is YAML, too."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
        elif (ROOT / part).is_file():
            shutil.copy(ROOT / part, folder / part)
    (folder / "configs/experiment/large.yaml").write_text(json.dumps(EXPERIMENT))


def memory(process: psutil.Process) -> int:
    """Proportional set size of a process and its children in bytes; 0 for one that has ended."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def dry_run(folder: Path, *arguments: str) -> dict[str, float]:
    """Seconds, peak memory in MiB and number of jobs of one dry run."""
    snakemake = str(Path(sys.executable).parent / "snakemake")
    with (folder / "dry-run.log").open("w+") as log:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            [snakemake, "--dry-run", "--quiet", "rules", *arguments], cwd=folder, stdout=log, stderr=log
        )
        watched, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, memory(watched))
            time.sleep(0.02)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        log.seek(0)
        told = log.read()
    if process.returncode:
        raise SystemExit(f"snakemake failed:\n{told[-4000:]}")
    jobs = [int(line.split()[1]) for line in told.splitlines() if line.split()[:1] == ["total"]]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "mib": peak / 2**20, "jobs": jobs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", help="a profile of the project, such as slurm")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as temporary:
        large, plain = Path(temporary) / "large", Path(temporary) / "bare"
        large.mkdir()
        plain.mkdir()
        lay_out(large)
        options = ["--profile", arguments.profile] if arguments.profile else ["--cores", "2"]
        command = [*options, "--config", "experiment=large"]
        first = dry_run(large, *command)
        cells = int(first["jobs"]) // (len(BENCHMARKS) + 2)
        (plain / "Snakefile").write_text(BARE.format(cells=cells, benchmarks=len(BENCHMARKS)))
        for _ in range(arguments.rounds):
            ours.append(dry_run(large, *command))
            bare.append(dry_run(plain, "--cores", "2"))

    def median(rounds: list[dict[str, float]], key: str) -> float:
        return round(statistics.median(one[key] for one in rounds), 1)

    found = {
        "machine": {"cores": os.cpu_count(), "processor": platform.machine()},
        "load": round(os.getloadavg()[0], 1),  # of the machine, this benchmark's 1 in it
        "rounds": arguments.rounds,
        "profile": arguments.profile,
        "jobs": {"ours": int(ours[0]["jobs"]), "bare": int(bare[0]["jobs"])},
        "first": {key: round(first[key], 1) for key in MEASURES},
        **{key: {"ours": median(ours, key), "bare": median(bare, key)} for key in MEASURES},
        "ratio": {
            key: round(statistics.median(a[key] / b[key] for a, b in zip(ours, bare, strict=True)), 2)
            for key in MEASURES
        },
        "seconds_of_rounds": {
            "ours": [round(one["seconds"], 1) for one in ours],
            "bare": [round(one["seconds"], 1) for one in bare],
        },
    }
    text = json.dumps(found, indent=2) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()

"""Speed and memory of the data stage: MATH, DeepScaleR, four benchmarks, contamination; the plain way, too.

    python benchmarks/data_stage.py --directory FOLDER [--out benchmarks/data_stage.json]

FOLDER holds the sets' files under the paths that configs/data names. Runs the commands of the pipeline,
two at a time. The plain way compares every training problem with every benchmark problem as Python sets of
8-grams; it is timed on a sample and scaled up.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from bupo.data.normal import read_normal
from bupo.data.overlap import NGRAM, tokens

TRAIN = ("deepscaler", "math")
BENCHMARKS = ("math500", "amc23", "aime24", "aime25")
SAMPLE = 300


def measured(arguments: list[str]) -> float:
    """Run a command of the data stage; its peak memory in MiB (the grader's child has its own, about 160)."""
    process = subprocess.Popen([sys.executable, "-m", "bupo.data", *arguments], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"bupo.data {' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


def normalise(name: str, directory: Path, folder: Path) -> float:
    root = Path(__file__).resolve().parents[1]
    data = yaml.safe_load((root / "configs" / "data" / f"{name}.yaml").read_text())
    spec = folder / f"{name}.yaml"
    spec.write_text(yaml.safe_dump({"set": data, "source": "local", "directory": str(directory)}))
    out, report = folder / f"{name}.parquet", folder / f"{name}.json"
    return measured(["normalise", "--spec", str(spec), "--out", str(out), "--report", str(report)])


def plain_seconds(folder: Path) -> float:
    """Time that comparing all pairs as sets would take, from a sample of the training problems."""

    def grams(text: str) -> set[tuple[str, ...]]:
        words = tokens(text)
        return {tuple(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))}

    bench = [grams(p.problem) for name in BENCHMARKS for p in read_normal(folder / f"{name}.parquet")]
    train = [p.problem for name in TRAIN for p in read_normal(folder / f"{name}.parquet")]
    sample = train[:: max(1, len(train) // SAMPLE)]
    start = time.perf_counter()
    for text in sample:
        ours = grams(text)
        for theirs in bench:
            len(ours & theirs) / len(ours | theirs)
    return (time.perf_counter() - start) / len(sample) * len(train)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            peaks = list(pool.map(lambda n: normalise(n, arguments.directory, folder), (*TRAIN, *BENCHMARKS)))
        normalised = time.perf_counter() - start
        train, benchmarks = ([str(folder / f"{n}.parquet") for n in names] for names in (TRAIN, BENCHMARKS))
        out = str(folder / "c.json")
        start = time.perf_counter()
        peaks.append(
            measured(["contamination", "--train", *train, "--benchmarks", *benchmarks, "--out", out])
        )
        gate = time.perf_counter() - start
        result = {
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
            "normalise_s": round(normalised, 1),
            "contamination_s": round(gate, 1),
            "peak_mib_of_a_process": round(max(peaks)),
            "plain_contamination_s": round(plain_seconds(folder)),
        }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

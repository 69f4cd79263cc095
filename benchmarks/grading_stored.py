"""Grading 128,000 stored samples: time and memory; and the memory of sampling 500 x 300.

    python benchmarks/grading_stored.py --directory FOLDER [--out benchmarks/grading_stored.json]

FOLDER holds the sets' files under the paths that configs/data names. MATH500's golds are answered 256 times
each by a simulated model (`Simulated.answer`): texts of a few thousand characters whose last box is the gold,
the gold spelled otherwise, another answer, or missing. They are written in shards, and then graded by
``python -m bupo.evaluation grade``. The memory of sampling is measured with such texts in the place of a
model's, so that what is measured is ours: taking them in, saving them, writing one file at the end.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from bupo.data.config import DataSet, DataSpec
from bupo.data.export import write_verl
from bupo.data.normal import Problem
from bupo.data.normalise import normalise
from bupo.data.prompts import PROMPTS
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.draw import Drawing
from bupo.evaluation.models import EvaluatedModel
from bupo.evaluation.sampling import Sample, Wanted
from bupo.evaluation.shards import cut
from bupo.validation import load_yaml, validated

GRADED, DRAWN = 256, 300
MODEL = EvaluatedModel("simulated", "simulated/base/seed0", "nowhere", None, "simulated")
RIGHT, RESPELLED, OFTEN, SELDOM, NO_BOX = 0.5, 0.62, 0.8, 0.92, 0.96  # cumulative; the rest is cut off
RESPELLINGS = (
    lambda gold: gold.replace("\\frac", "\\dfrac"),
    lambda gold: f"{gold}.",
    lambda gold: f" {gold} ",
    lambda gold: f"\\text{{{gold}}}" if gold.isalpha() else f"({gold})",
    lambda gold: f"{float(gold)}" if gold.lstrip("-").isdigit() else gold.replace(" ", "\\,"),
)


class Simulated:
    """Answers in the place of a model, the same for the same problem and number."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = {problem.id: problem for problem in problems}
        self.golds = [problem.answer for problem in problems]
        self.kinds: Counter[str] = Counter()
        self.boxes: set[tuple[str, str]] = set()
        self.characters = 0

    def render(self, messages, add_generation_prompt=True) -> str:
        return messages[-1]["content"]

    def sample(self, wanted: list[Wanted], scratch, progress):
        for start in range(0, len(wanted), 256):
            yield [self.one(each) for each in wanted[start : start + 256]]
            progress(min(start + 256, len(wanted)))

    def one(self, wanted: Wanted) -> Sample:
        problem = self.problems[wanted.problem_id]
        draw = random.Random(f"{wanted.problem_id} {wanted.sample}")
        words = problem.problem.split() or ["so"]
        text = " ".join(draw.choices(words, k=max(20, int(draw.lognormvariate(6.2, 0.6)))))
        kind, box = self.answer(problem, draw)
        self.kinds[kind] += 1
        if box is not None:
            self.boxes.add((problem.id, box))
            text += f"\nThe answer is \\boxed{{{box}}}."
        self.characters += len(text)
        reason = "length" if kind == "cut off" else "stop"
        return Sample(wanted.problem_id, wanted.sample, text, len(text) // 4, reason, f"{wanted.sample:032x}")

    def answer(self, problem: Problem, draw: random.Random) -> tuple[str, str | None]:
        """What is in the box, and what kind of answer that is."""
        gold, share = problem.answer, draw.random()
        if share < RIGHT:
            return "as the gold", gold
        if share < RESPELLED:
            return "spelled otherwise", draw.choice(RESPELLINGS)(gold)
        if share < OFTEN:  # one of four wrong answers that come often
            return "often wrong", random.Random(f"{problem.id} {draw.randrange(4)}").choice(self.golds)
        if share < SELDOM:
            other = draw.choice(self.golds)
            return (
                "seldom wrong",
                f"{draw.randint(2, 99)}{other}" if draw.random() < 0.5 else f"{other}+{draw.randint(1, 9)}",
            )
        return ("no box", None) if share < NO_BOX else ("cut off", None)


def draw(problems: list[Problem], benchmark: Path, samples: int, parts: int, out: Path) -> Simulated:
    """Sample into ``out`` as a run does, with a simulated model."""
    settings = settings_of(samples, parts)
    drawing, simulated = Drawing(MODEL, benchmark, settings, out), Simulated(problems)
    drawing.__dict__["sampler"] = simulated
    for shard in cut(settings):
        drawing.draw(shard)
    return simulated


def settings_of(samples: int, parts: int) -> EvaluationSettings:
    values = {
        "samples": samples,
        "max_new_tokens": 4096,
        "pass_at_k": [1, samples],
        "shards": {"problems": parts},
    }
    return EvaluationSettings.model_validate(values)


def measured(arguments: list[str]) -> tuple[float, float]:
    """Seconds and peak memory in MiB of a command; of its processes the one with most memory counts."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def problems_of(directory: Path) -> list[Problem]:
    path = Path(__file__).resolve().parents[1] / "configs" / "data" / "math500.yaml"
    data = validated(DataSet, load_yaml(path), path)
    return normalise(DataSpec(set=data, source="local", directory=str(directory)))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--samples", type=int, default=GRADED, help="of each problem, graded")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--draw", nargs=2, metavar=("N", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    problems = problems_of(arguments.directory)
    if arguments.draw:
        n, folder = int(arguments.draw[0]), Path(arguments.draw[1])
        draw(problems, folder / "math500.parquet", n, 1, folder / f"drawn-{n}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        benchmark = folder / "math500.parquet"
        write_verl(problems, PROMPTS["qwen"], "test", benchmark)
        simulated = draw(problems, benchmark, arguments.samples, 4, folder / "stored")
        spec = folder / "spec.yaml"
        spec.write_text(yaml.safe_dump(settings_of(arguments.samples, 4).model_dump(mode="json")))
        shards = list((folder / "stored").glob("shard-*"))
        size = sum(path.stat().st_size for path in shards)
        command = ["-m", "bupo.evaluation", "grade", "--benchmark", str(benchmark), "--spec", str(spec)]
        load = os.getloadavg()[0]
        seconds, peak = measured([*command, "--out", str(folder / "stored")])
        summary = json.loads((folder / "stored" / "summary.json").read_text())
        itself = [str(Path(__file__)), "--directory", str(arguments.directory), "--draw"]
        _, base = measured([*itself, "1", str(folder)])
        _, drawing = measured([*itself, str(DRAWN), str(folder)])
        n = simulated.kinds.total()
        result = {
            "cores": os.cpu_count(),
            "load": round(load, 1),
            "python": platform.python_version(),
            "n_problems": len(problems),
            "n_samples": n,
            "kinds": dict(simulated.kinds.most_common()),
            "different_pairs_of_gold_and_box": len(simulated.boxes),
            "texts_mib": round(simulated.characters / 2**20),
            "shards": len(shards),
            "shards_mib": round(size / 2**20),
            "grading_min": round(seconds / 60, 2),
            "graded_per_s": round(n / seconds),
            "grading_peak_mib": round(peak),
            "avg": summary["avg_at_n"]["value"],
            "sampling_500_x_300": {
                "texts_mib": round(simulated.characters / n * DRAWN * len(problems) / 2**20),
                "peak_mib": round(drawing),
                "peak_mib_of_500_x_1": round(base),
            },
        }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

r"""Speed and verdicts of the grader beside plain math-verify in the same run, and what hostile answers cost.

    python benchmarks/grading.py --directory FOLDER [--out benchmarks/grading.json]

FOLDER holds the sets' files under the paths that configs/data names. Responses are made from the golds of
MATH500, AMC23 and AIME24/25: 2,000 characters and a box with the gold, the gold in another spelling, the gold
of another problem of the set, or no box. Plain math-verify is ``verify(parse(gold), parse(response))`` with
its own settings; each gold is parsed once. Times are processor seconds, children and start-up included, so
that a rate is one of a core; only the hostile responses are timed by the clock, on two cores.
"""

import argparse
import csv
import json
import logging
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bupo.data.golds import normalise_gold
from bupo.grading import RULES, Grade, Grader

TESTS = Path(__file__).resolve().parents[1] / "tests" / "grading"
SETS = (
    "math500/hf_test.jsonl",
    "amc23/qwen_test.jsonl",
    "aime24/qwen_test.jsonl",
    "aime25/oneshot_test.jsonl",
)
REASONING = "We set up the equation, simplify both sides and check the cases one by one. " * 27
Rows = list[tuple[str, str]]


def responses(directory: Path, samples: int) -> Rows:
    """(gold, response) pairs, ``samples`` of each problem."""
    rng = random.Random(0)
    found: Rows = []
    for path in SETS:
        lines = (directory / path).read_text().splitlines()
        golds = [normalise_gold(json.loads(line)["answer"]).answer for line in lines]
        for gold in golds:
            for _ in range(samples):
                box = rng.choices(
                    (gold, gold.replace(r"\frac", r"\dfrac ") + " ", rng.choice(golds), None), (4, 2, 3, 1)
                )[0]
                found.append(
                    (gold, REASONING + ("" if box is None else rf"So the answer is $\boxed{{{box}}}$."))
                )
    return found


def processor_seconds() -> float:
    """Of this process, its children and theirs, as the kernel counts them while they live."""
    return sum(map(seconds_of, (os.getpid(), *descendants(os.getpid()))))


def seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    children = [
        int(c) for path in Path(f"/proc/{pid}/task").glob("*/children") for c in path.read_text().split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]


def ours(rows: Rows, in_box: bool) -> tuple[list[bool], float]:
    """Verdicts of the headline rule, both asked as an evaluation asks them, and the seconds with start-up."""
    before = processor_seconds()
    with Grader("math_verify") as first, Grader("string") as second:
        name = "grade" if in_box else "grade_answer"
        grade, other = getattr(first, name), getattr(second, name)
        verdicts = [(grade(*row), other(*row))[0].correct for row in rows]
        return verdicts, processor_seconds() - before


def plain(rows: Rows) -> tuple[list[bool], float]:
    """Verdicts of math-verify, and the seconds, those of its import too."""
    before = processor_seconds()
    from math_verify import parse, verify

    golds = {gold: parse(f"${gold}$") for gold, _ in rows}
    verdicts = [bool(verify(golds[gold], parse(response))) for gold, response in rows]
    return verdicts, processor_seconds() - before


def compared(rows: Rows, boxed: Rows, in_box: bool) -> tuple[list[bool], list[bool], dict[str, Any]]:
    """Verdicts of ours on ``rows`` and of math-verify on ``boxed``, and the rates of both."""
    (mine, my_seconds), (theirs, their_seconds) = ours(rows, in_box), plain(boxed)
    return (
        mine,
        theirs,
        {
            "samples": len(rows),
            "per_second_and_core": round(len(rows) / my_seconds, 1),
            "plain_math_verify_per_second_and_core": round(len(rows) / their_seconds, 1),
            "times_as_fast": round(their_seconds / my_seconds, 1),
        },
    )


def hostile() -> dict[str, Any]:
    """The hostile responses of the tests by the clock, on two graders in two threads."""
    sys.path.insert(0, str(TESTS))
    from hostile import GOLD, hostile_responses

    with tempfile.TemporaryDirectory() as folder, Grader() as first, Grader() as second:
        waiting = hostile_responses(Path(folder) / "made", 9)

        def graded(grader: Grader, mine: list[str]) -> list[tuple[Grade, float]]:
            told = []
            for response in mine:
                start = time.perf_counter()
                told.append((grader.grade(GOLD, response), time.perf_counter() - start))
            return told

        first.can_read("x+1"), second.can_read("x+1")  # the children start before the clock
        start = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            halves = pool.map(graded, (first, second), (waiting[::2], waiting[1::2]))
            told = [pair for half in halves for pair in half]
        wall = time.perf_counter() - start
        return {
            "responses": len(told),
            "scored_1": sum(grade.correct for grade, _ in told),
            "wall_s_on_two_cores": round(wall, 2),
            "slowest_s": round(max(seconds for _, seconds in told), 2),
            "status": dict(Counter(grade.detail or grade.status for grade, _ in told)),
            "files_left": len(list(Path(folder).iterdir())),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--samples", type=int, default=4, help="responses of each of the 600 problems")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows = responses(arguments.directory, arguments.samples)
    mine, theirs, stored = compared(rows, rows, in_box=True)
    stored["same_verdict"] = round(sum(map(bool.__eq__, mine, theirs)) / len(rows), 4)
    with (TESTS / "corpus.tsv").open(newline="") as file:
        corpus = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = [(row["gold"], row["answer"]) for row in corpus]
    mine, theirs, hard = compared(pairs, [(gold, rf"$\boxed{{{answer}}}$") for gold, answer in pairs], False)
    truth = [row["relation"] == "equal" for row in corpus]
    for name, verdicts in (("right", mine), ("plain_math_verify_right", theirs)):
        hard[name] = round(sum(map(bool.__eq__, verdicts, truth)) / len(truth), 4)
    result = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "math_verify": version("math-verify"),
        "rules": list(RULES),
        "responses_of_four_benchmarks": stored,
        "corpus_of_1000_pairs": hard,
        "hostile": hostile(),
    }
    print(json.dumps(result, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

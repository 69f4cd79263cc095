"""The commands that the documentation shows, as they can be run on the finished demo."""

import re
import shlex
from pathlib import Path

STARTS = ("bupo ", "python -m bupo", "snakemake ", "make ", "lm-eval ", ".venv/bin/")


def commands_of(page: Path) -> list[str]:
    """The lines of a page's unnamed and shell blocks that begin as a command does, without comments."""
    found = []
    blocks = re.findall(r"^ *```(?:sh|bash|)\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S)
    for block in blocks:
        for line in map(str.strip, block.replace("\\\n", " ").splitlines()):
            command = " ".join(shlex.split(line, comments=True)) if line.startswith(STARTS) else ""
            if command:
                found.append(re.sub(r"\s+#.*", "", " ".join(line.split())))
    return found


RESULTS = "results/demo"
FILE = f"{RESULTS}/data/verl/tiny_qwen3/arithmetic_easy.parquet"
STANDS_FOR = {
    "MODEL": f"{RESULTS}/models/tiny_qwen3/model.json",
    "Qwen/Qwen3-4B": f"{RESULTS}/models/tiny_qwen3/model.json",
    "FILE": FILE,
    "math500.parquet": FILE,
    "aime24.parquet": f"{RESULTS}/data/verl/tiny_qwen3/arithmetic_hard.parquet",
    "RUN_FOLDER": f"{RESULTS}/runs/tiny_qwen3/bupo-k5-s4/seed1",
    "DIR": "out",
    "mine": "demo_grid",
    "/where/the/sets/lie": ".",
}
"""What a placeholder stands for on the finished demo."""
SPECS = {
    "entropy.md": f"{RESULTS}/spec/entropy/tiny_qwen3.yaml",
    "evaluation.md": f"{RESULTS}/spec/evaluation/tiny_qwen3.yaml",
}
NOT_RUN = {
    "lm-eval run": "samples whole benchmarks; tests/evaluation runs lm-eval's own command with these tasks",
    "python -m bupo.tracking serve": "runs until it is stopped; tests/tracking starts it",
    "bupo compare": "needs a second experiment; tests/report compares two",
    "snakemake --report": "tests/report makes it",
    "snakemake --cores 2 --software-deployment-method": "needs conda or apptainer, which may not be here",
}
"""Beginnings of commands that are too long for a test, and why."""


def runnable(page: str, command: str) -> list[str]:
    """What to run in the shell for a command of a page; empty for one that is not run.

    A workflow is only planned, a target of make is only looked up, and one part of several stands for all.
    """
    command = command.removeprefix(".venv/bin/")
    if command.startswith(tuple(NOT_RUN)):
        return []
    command = command.replace("configs/analysis/paper.yaml", SPECS["entropy.md"])
    for word, meaning in {**STANDS_FOR, "SPEC": SPECS.get(page, "")}.items():
        command = re.sub(rf"(?<![\w/.-]){re.escape(word)}(?![\w.-])", meaning, command)
    if "bupo.report build" in command:
        # beside what is there, which would be newer than what hangs on it
        return [re.sub(r"(--out|--summary) results/demo/", r"\1 out/", command)]
    if command.startswith("snakemake "):
        head, *targets = command.split(" -- ")
        return [" -- ".join([f"{head} --dry-run --quiet", *targets])]
    if "bupo.entropy " in command and "--shard 2/4" in command:
        return [command.replace("2/4", f"{part}/4") for part in range(1, 5)]
    return [command]

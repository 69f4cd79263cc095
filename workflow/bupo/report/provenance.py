"""Where the numbers come from: the code, the software and the files behind each of them."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bupo.commit import LINE, commit
from bupo.files import sha256_file
from bupo.report.costs import logs_of
from bupo.report.records import BASE, Results, Run
from bupo.report.table import Table

PACKAGES = (
    "bupo",
    "torch",
    "transformers",
    "verl",
    "lm_eval",
    "math-verify",
    "vllm",
    "ray",
    "numpy",
    "mlflow",
)
NO_COMMIT = "no git commit (not a checkout)"
MOST_FACTS = 300
"""Facts that the page shows; the table has all."""


@dataclass(frozen=True)
class Fact:
    """One thing to compare when a number has to be repeated.

    Attributes:
        stage: what made or read it, as the table has it.
        subject: of which model, run or evaluation it is.
        what: is known; hashes are SHA-256.
        value: None where it was not recorded.
    """

    stage: str
    subject: str
    what: str
    value: str | None


@dataclass(frozen=True)
class Shown:
    """The facts that the page shows, the first `MOST_FACTS`, by stage; and how many there are."""

    stages: dict[str, list[Fact]]
    total: int

    @property
    def all(self) -> bool:
        """Whether these are all."""
        return self.total == sum(map(len, self.stages.values()))

    @classmethod
    def of(cls, found: Sequence[Fact]) -> "Shown":
        """Those of all that there are."""
        stages: dict[str, list[Fact]] = {}
        for fact in found[:MOST_FACTS]:
            stages.setdefault(fact.stage, []).append(fact)
        return cls(stages, len(found))


def versions() -> dict[str, str]:
    """Versions in the environment that wrote the report; ``not installed`` where there is none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def in_line(software: Mapping[str, str]) -> str:
    """``python 3.11.7, torch 2.13.0``."""
    return ", ".join(f"{name} {version}" for name, version in software.items())


def analysis_inputs(folder: Path, model: str, boundary: Mapping[str, Any]) -> dict[str, str | None]:
    """Hashes of the files that an entropy analysis reads besides its model, as they are now.

    Args:
        folder: of the experiment.
        model: its name.
        boundary: what the analysis's ``boundary.json`` holds.
    """
    problems = [f"data/verl/{model}/{file}" for file in boundary.get("problem_files", [])]
    paths = [f"spec/entropy/{model}.yaml", *problems]
    return {path: sha256_file(folder / path) if (folder / path).is_file() else None for path in paths}


def made_by(root: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """The commits of the calls that made results and their parts, as their logs have it, each once.

    Args:
        root: the experiment's folder.
        names: of the results below its logs.
    """
    found = {}
    for name in names:
        logs = [
            log.read_text(encoding="utf-8", errors="replace") for log in logs_of(root, name) if log.is_file()
        ]
        # A call that went on writes to the same log anew: the last line is that of the call that ended.
        found[name] = list(dict.fromkeys(told[-1] for text in logs if (told := LINE.findall(text))))
    return found


def trained_with(results: Results) -> dict[str, list[str]]:
    """The software of the trainings, each set in one line, with the runs that it trained."""
    found: dict[str, list[str]] = {}
    for run in results.runs:
        for software in run.versions:
            found.setdefault(in_line(software), []).append(run.name)
    return found


def facts(results: Results) -> list[Fact]:
    """What is behind every number, in the order of the work; without the process that writes the report."""
    name = str(results.experiment["name"])
    found = [Fact("experiment", name, "experiment.yaml", results.experiment_sha256)]
    for model in results.models:
        found += _made(results, "model before training", model.name, f"models/{model.name}")
        found += [Fact("model before training", model.name, file, sha) for file, sha in model.sha256.items()]
    for entropy in results.entropy:
        found += _made(results, "entropy analysis", entropy.model, f"entropy/{entropy.model}")
        inputs = entropy.inputs.items()
        found += [
            Fact("entropy analysis", entropy.model, f"{file}, as it is now", sha) for file, sha in inputs
        ]
    trained = [run for run in results.runs if run.cell != BASE]
    found += [fact for run in trained for fact in _trained(run)]
    swept = set() if results.flow is None else set(results.flow["run"])
    found += [fact for run in results.runs if run.name in swept for fact in _swept(results, run)]
    for run in results.runs:
        for each in run.evaluated.values():
            subject = f"{run.name} on {each.benchmark}"
            found += _made(results, "evaluation", subject, f"evaluation/{run.name}/{each.benchmark}")
            found += [
                Fact("evaluation", subject, f"problems of {each.benchmark}", each.benchmark_sha256),
                Fact("evaluation", subject, "sampling: model, problems and decoding", each.sampling_sha256),
            ]
    return found


def provenance_table(found: Sequence[Fact]) -> Table:
    """What is behind every number, and what wrote the report."""
    written = [
        Fact("report", "all of it", "commit", commit() or NO_COMMIT),
        Fact("report", "all of it", "versions", in_line(versions())),
    ]
    rows = [(fact.stage, fact.subject, fact.what, fact.value) for fact in (*found, *written)]
    return Table("provenance", ("stage", "subject", "what", "value"), [tuple(row) for row in rows])


def _trained(run: Run) -> Iterator[Fact]:
    if run.config_sha256 is None and not run.weights:
        return
    yield Fact("training", run.name, "configuration", run.config_sha256)
    recorded = {"commit": run.commits, "versions": [in_line(software) for software in run.versions]}
    for what, values in recorded.items():
        yield from (Fact("training", run.name, what, value) for value in values or (None,))
    for file, sha in run.train_files.items():
        yield Fact("training", run.name, f"problems of {file}", sha)
    for file, sha in run.weights.items():
        if file.startswith("model/"):
            yield Fact("training", run.name, file, sha)


def _swept(results: Results, run: Run) -> Iterator[Fact]:
    """The weights of its snapshots, which the entropies over a training are of."""
    yield from _made(results, "entropy over training", run.name, f"entropy/{run.name}")
    for file, sha in run.weights.items():
        if not file.startswith("model/"):
            yield Fact("entropy over training", run.name, file, sha)


def _made(results: Results, stage: str, subject: str, name: str) -> list[Fact]:
    """The commits that made a result, by its name below the logs."""
    return [Fact(stage, subject, "commit", code) for code in results.made_by.get(name) or (None,)]

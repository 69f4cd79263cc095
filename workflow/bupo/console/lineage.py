"""What a path or a name below results/ stands for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bupo.console.shared import read_experiment, run_name
from bupo.errors import UserError
from bupo.files import read_json

Kind = Literal["run", "evaluation", "analysis", "flow", "model", "data", "report", "experiment"]
SOURCES = {
    "training": "runs/{model}/*/seed*/metrics.jsonl",
    "cost": "runs/{model}/*/seed*/done.json",
    "difference": "evaluation/{model}/*/seed*/*/scores.parquet",
    "pass": "evaluation/{model}/*/seed*/{benchmark}/scores.parquet",
    "scores": "evaluation/{model}/*/seed*/*/scores.parquet",
    "comparisons": "evaluation/{model}/*/seed*/*/scores.parquet",
    "grid": "evaluation/{model}/*/seed*/*/scores.parquet",
    "published": "evaluation/{model}/*/seed*/*/scores.parquet",
    "responses": "evaluation/{model}/*/seed*/*/shard-*.parquet",
    "flow": "entropy/{model}/*/seed*/flow.parquet",
    "data": "data/*.json",
    "contamination": "data/contamination.json",
    "boundary": "entropy/{model}/boundary.json",
    "training_rows": "data/verl/{model}/*.json",
    "variance": "evaluation/{model}/*/seed*/*/scores.parquet",
    "grader": "evaluation/{model}/*/seed*/*/disagreements.csv",
    "provenance": "**/*.json",
}
"""What the report's figures and tables are made of, by the first word of their names, or the whole of it."""
OTHERWISE = "entropy/{model}/statistics.parquet"


@dataclass(frozen=True)
class Subject:
    """What is asked about.

    Attributes:
        folder: ``results/<experiment>``.
        path: the file or folder; None where a run was named.
        run: ``<model>/<cell>/seed<s>``, where it is of one.
        model: its name, where it is of one.
        name: of the benchmark or the problem set, where it is of one.
    """

    kind: Kind
    folder: Path
    path: Path | None = None
    run: str | None = None
    model: str | None = None
    name: str | None = None

    @property
    def sources(self) -> str | None:
        """A pattern of the files that a figure or a table was made of; None for what is no such thing."""
        if self.kind != "report" or self.path is None or self.path.suffix not in (".svg", ".png", ".csv"):
            return None
        stem = self.path.stem
        pattern = SOURCES.get(stem) or SOURCES.get(re.split("[-_]", stem)[0], OTHERWISE)
        return pattern.format(model=self.model or "*", benchmark=self.name or "*")


def subjects(text: str, results: Path) -> list[Subject]:
    """What a command line names: a path, or a cell in one of the forms that `runs_named` knows.

    Raises:
        UserError: there is neither.
    """
    if Path(text).exists():
        return [subject_of(Path(text))]
    found = list(runs_named(text, results))
    if not found:
        raise UserError(
            f"{text!r} is neither a path nor a cell of an experiment below {results}/; a path below it, a "
            "cell such as grpo or qwen3_4b/grpo/seed1, or the id of an MLflow run would be right."
        )
    return found


def subject_of(path: Path) -> Subject:
    """What a path below results/ is.

    Raises:
        UserError: it does not belong to an experiment.
    """
    path = path.absolute()
    inside = path if path.is_dir() else path.parent
    folder = next((p for p in (inside, *inside.parents) if (p / "experiment.yaml").is_file()), None)
    if folder is None:
        raise UserError(f"{path} is not below the folder of an experiment, results/<experiment>/.")
    parts = path.relative_to(folder).parts
    near = Path.cwd()
    if folder.is_relative_to(near):
        folder, path = folder.relative_to(near), path.relative_to(near)
    match parts:
        case ("runs", model, cell, seed, *_):
            return Subject("run", folder, path, f"{model}/{cell}/{seed}", model)
        case ("evaluation", model, cell, seed, benchmark, *_):
            return Subject("evaluation", folder, path, f"{model}/{cell}/{seed}", model, benchmark)
        case ("entropy", model, cell, seed, *_) if seed.startswith("seed"):
            return Subject("flow", folder, path, f"{model}/{cell}/{seed}", model)
        case ("entropy", model, *_):
            return Subject("analysis", folder, path, None, model)
        case ("models", model, *_):
            return Subject("model", folder, path, None, model)
        case ("data", "verl", model, file):
            return Subject("data", folder, path, None, model, Path(file).stem)
        case ("data", "normal", file) | ("data", file) if Path(file).stem != "contamination":
            return Subject("data", folder, path, None, None, Path(file).stem)
        case ("report", *_) | ("summary.json",) | ("tracked",):
            experiment = read_experiment(folder)
            return Subject("report", folder, path, None, *_named_in(path.stem, experiment))
    return Subject("experiment", folder, path)


def runs_named(text: str, results: Path) -> Iterator[Subject]:
    """The runs that ``<cell>``, ``<cell>/seed<s>``, ``<model>/<cell>[/seed<s>]`` or an MLflow id names."""
    for file in sorted(results.glob("*/experiment.yaml")):
        experiment = read_experiment(file.parent)
        ids = _mlflow_runs(file.parent)
        cells = {
            run_name(cell): (cell["model"], cell["cell"], f"seed{cell['seed']}")
            for cell in experiment["cells"]
        }
        bases = {f"{model}/base/seed0": (model, "base", "seed0") for model in experiment["models"]["train"]}
        for run, (model, cell, seed) in {**bases, **cells}.items():
            names = (run, cell, f"{cell}/{seed}", f"{model}/{cell}", ids.get(run))
            if text in names:
                yield Subject("run", file.parent, None, run, model)


def _mlflow_runs(folder: Path) -> dict[str, str]:
    path = folder / "tracking.json"
    return dict(read_json(path)["runs"]) if path.is_file() else {}


def _named_in(stem: str, experiment: dict[str, Any]) -> tuple[str | None, str | None]:
    """The model and the benchmark that a figure's name ends with."""
    models = {*experiment["models"]["train"], *experiment["models"]["analyse"]}
    words = f"-{stem}-"
    model = max((m for m in models if f"-{m}-" in words), key=len, default=None)
    benchmark = max((b for b in experiment["data"]["benchmarks"] if f"-{b}-" in words), key=len, default=None)
    return model, benchmark

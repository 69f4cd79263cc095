"""The problem sets of a run as MLflow's datasets: name, hash of the file, where the set is from, rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.files import read_json, sha256_file

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

LONGEST_DIGEST = 36
TRAINING, EVALUATION = "training", "evaluation"


@dataclass(frozen=True)
class ProblemSet:
    """A problem set that a run has used.

    Attributes:
        name: of the set.
        context: `TRAINING` or `EVALUATION`.
        sha256: of the file in verl's schema, as it was when the run used it.
        origin: where the set is from, as the data stage's report has it.
        rows: how many problems.
    """

    name: str
    context: str
    sha256: str
    origin: Mapping[str, Any]
    rows: int | None


def problem_sets(root: Path, run: str, train_set: str | None, summaries: list[Path]) -> list[ProblemSet]:
    """What ``run`` was trained on and evaluated on, as far as the files say.

    Args:
        root: ``results/<experiment>``.
        run: ``<model>/<cell>/seed<s>``.
        train_set: None for a base model.
        summaries: summary.json of each evaluation.
    """
    model = run.partition("/")[0]
    sets = []
    table = root / "data" / "verl" / model / f"{train_set}.parquet"
    done = root / "runs" / run / "done.json"
    if train_set is not None and done.exists() and (sha := _trained_on(done, table)):
        rows = _read(table.with_suffix(".json")).get("kept")
        sets.append(ProblemSet(train_set, TRAINING, sha, _origin(root, train_set), rows))
    for path in summaries:
        summary = read_json(path)
        name = summary["benchmark"]
        benchmark = root / "data" / "verl" / model / f"{name}.parquet"
        sha = summary.get("benchmark_sha256") or _sha256(benchmark)
        if sha:
            sets.append(ProblemSet(name, EVALUATION, sha, _origin(root, name), summary["n_problems"]))
    return sets


def dataset_input(problems: ProblemSet) -> "DatasetInput":
    """A problem set for MLflow; its digest is the beginning of the hash, the whole is in the source."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=problems.name,
        digest=problems.sha256[:LONGEST_DIGEST],
        source_type=str(problems.origin.get("kind", "local")),
        source=json.dumps({**problems.origin, "sha256": problems.sha256}),
        profile=json.dumps({"num_rows": problems.rows}) if problems.rows is not None else None,
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", problems.context)])


def _trained_on(done: Path, table: Path) -> str | None:
    """The hash that the training file had in the training's last call; now, where that was not recorded."""
    for job in reversed(read_json(done).get("jobs") or []):
        for file, sha in job["train_files"].items():
            if Path(file).name == table.name:
                return str(sha)
    return _sha256(table)


def _origin(root: Path, name: str) -> dict[str, Any]:
    return _read(root / "data" / f"{name}.json").get("source", {})


@lru_cache(maxsize=256)
def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


@lru_cache(maxsize=256)
def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.exists() else None

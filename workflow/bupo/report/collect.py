"""From the files of an experiment's tree to `Results`; what is not there is told, never made up."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bupo.errors import UserError
from bupo.figures.study import Study
from bupo.files import read_json, read_yaml, sha256_file
from bupo.identity import config_sha256
from bupo.report.costs import cost_of_run, costs
from bupo.report.parse import data_set, evaluated
from bupo.report.provenance import analysis_inputs, made_by
from bupo.report.records import (
    ALL,
    BASE,
    STATISTICS,
    Contamination,
    DataSet,
    Entropy,
    Estimate,
    Evaluated,
    Export,
    LayerEvidence,
    Model,
    Results,
    Run,
)

WEIGHTS = (".safetensors", ".bin")
"""Endings of the files that hold weights."""


def collect(experiment_file: Path) -> Results:
    """Read the tree beside a resolved experiment file.

    Raises:
        UserError: the file is missing, or a file of the tree lacks a key.
    """
    if not experiment_file.exists():
        raise UserError(
            f"{experiment_file}: there is no such file; --experiment is results/<experiment>/experiment.yaml."
        )
    experiment = read_yaml(experiment_file)
    reader = _Reader(experiment_file.parent)
    try:
        runs = [reader.base(model, experiment) for model in experiment["models"]["train"]]
        runs += [reader.run(cell, experiment) for cell in experiment["cells"]]
        names = dict.fromkeys([*experiment["models"]["train"], *experiment["models"]["analyse"]])
        return Results(
            experiment=experiment,
            experiment_sha256=sha256_file(experiment_file),
            runs=runs,
            models=[model for name in names if (model := reader.model(name))],
            entropy=[found for name in experiment["models"]["analyse"] if (found := reader.entropy(name))],
            data=reader.data(experiment),
            exports=reader.exports(experiment),
            contamination=reader.contamination() if experiment["data"]["train"] else [],
            problems=reader.problems(experiment["data"]["benchmarks"]),
            flow=reader.flow(experiment),
            missing=reader.missing,
            costs=costs(
                reader.root,
                experiment,
                [run.name for run in runs if run.cell == BASE],
                {run.name: run.cost for run in runs if run.cell != BASE},
            ),
            made_by=made_by(
                reader.root,
                [
                    *(f"models/{name}" for name in names),
                    *(f"entropy/{name}" for name in (*names, *(run.name for run in runs))),
                    *(f"evaluation/{run.name}/{name}" for run in runs for name in run.evaluated),
                ],
            ),
        )
    except KeyError as error:
        raise UserError(
            f"{reader.path}: the key {error} is missing; the stage that writes the file should be run again."
        ) from None


class _Reader:
    """Reads files below ``root`` and remembers which one is being read and which were not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root
        self.missing: list[str] = []

    def find(self, path: str, what: str) -> Path | None:
        self.path = self.root / path
        if self.path.exists():
            return self.path
        self.missing.append(f"{what}: {path} is not there.")
        return None

    def base(self, model: str, experiment: Mapping[str, Any]) -> Run:
        evaluated = self.evaluations(f"{model}/{BASE}/seed0", experiment)
        return Run(model=model, cell=BASE, seed=0, method=BASE, evaluated=evaluated)

    def run(self, cell: Mapping[str, Any], experiment: Mapping[str, Any]) -> Run:
        name = f"{cell['model']}/{cell['cell']}/seed{cell['seed']}"
        steps = int(cell.get("steps", experiment["training"]["steps"]))
        config_file = self.find(f"runs/{name}/config.yaml", f"configuration of {name}")
        config = read_yaml(config_file) if config_file else {}
        ours = config.get("bupo", {})
        metrics = self.find(f"runs/{name}/metrics.jsonl", f"training metrics of {name}")
        done_file = self.find(f"runs/{name}/done.json", f"end of the training of {name}")
        done = read_json(done_file) if done_file else {}
        jobs = done.get("jobs", [])
        return Run(
            model=cell["model"],
            cell=cell["cell"],
            seed=cell["seed"],
            method=cell["method"],
            train_set=cell["train_set"],
            steps=steps,
            layer_requested=cell["layer"],
            layer=None if cell["layer"] is None else ours.get("layer"),
            iterative_steps=cell["iterative_steps"],
            lens=None if cell["layer"] is None else ours.get("lens"),
            evidence=ours.get("layer_evidence"),
            internal=trains_internal(ours["schedule"]) if "schedule" in ours else None,
            switches=switches(ours.get("schedule", []), steps),
            learning_rate=_learning_rate(config),
            metrics=read_metrics(metrics) if metrics else {},
            cost=cost_of_run(self.root, name),
            collapse=done.get("collapse"),
            config_sha256=config_sha256(config) if ours else None,
            commits=_each([job.get("commit") for job in jobs]),
            versions=_each([job.get("versions") for job in jobs]),
            train_files={
                Path(file).name: sha for job in jobs for file, sha in job.get("train_files", {}).items()
            },
            weights={
                file: sha for file, sha in done.get("files", {}).items() if Path(file).suffix in WEIGHTS
            },
            evaluated=self.evaluations(name, experiment),
        )

    def evaluations(self, run: str, experiment: Mapping[str, Any]) -> dict[str, Evaluated]:
        found = {}
        for benchmark in experiment["data"]["benchmarks"]:
            folder = f"evaluation/{run}/{benchmark}"
            summary = self.find(f"{folder}/summary.json", f"evaluation of {run} on {benchmark}")
            # Without a summary there are no scores either: one sentence is enough.
            scores = summary and self.find(f"{folder}/scores.parquet", f"scores of {run} on {benchmark}")
            if summary and scores:
                self.path = summary
                found[benchmark] = evaluated(read_json(summary), scores)
        return found

    def model(self, name: str) -> Model | None:
        path = self.find(f"models/{name}/model.json", f"the model {name}")
        if path is None:
            return None
        value = read_json(path)
        revision = value.get("revision")
        return Model(
            name=name,
            architecture=value["architecture"],
            layers=value["layers"],
            parameters=value["parameters"],
            source=value["path"] + (f" at {revision}" if revision else ""),
            sha256=value["sha256"],
        )

    def entropy(self, model: str) -> Entropy | None:
        boundary = self.find(f"entropy/{model}/boundary.json", f"entropy analysis of {model}")
        table = boundary and self.find(f"entropy/{model}/statistics.parquet", f"statistics of {model}")
        if boundary is None or table is None:
            return None
        self.path = boundary
        value = read_json(boundary)
        return Entropy(
            **{key: value[key] for key in ("model", "layers", "status", "boundary_layer", "tolerance")},
            **{key: value[key] for key in ("lens", "level", "reason", "n_tokens", "n_problems")},
            evidence=[
                LayerEvidence(
                    row["layer"], Estimate(row["ffn_change"], row["low"], row["high"]), row["stage"]
                )
                for row in value["evidence"]
            ],
            study=Study(self.statistics(table), value),
            inputs=analysis_inputs(self.root, model, value),
        )

    def statistics(self, path: Path, filters: Any = None, *front: str) -> pd.DataFrame:
        """A table of the entropy stage; one without a column of today's is like a file without a key."""
        self.path = path
        table = pd.read_parquet(path, filters=filters)
        for name in (*front, *STATISTICS):
            if name not in table:
                raise KeyError(name)
        return table

    def flow(self, experiment: Mapping[str, Any]) -> pd.DataFrame | None:
        """The sweeps over checkpoints; one that was not asked for is not missed."""
        names = [f"{model}/{BASE}/seed0" for model in experiment["models"]["train"]]
        names += [f"{cell['model']}/{cell['cell']}/seed{cell['seed']}" for cell in experiment["cells"]]
        paths = {name: f"entropy/{name}/flow.parquet" for name in names}
        if experiment["analysis"].get("snapshots") is None:
            paths = {name: path for name, path in paths.items() if (self.root / path).exists()}
        found = [self.find(path, f"entropy over the training of {name}") for name, path in paths.items()]
        tables = [self.statistics(path, [("slice", "==", ALL)], "run", "step") for path in found if path]
        return pd.concat(tables, ignore_index=True) if tables else None

    def data(self, experiment: Mapping[str, Any]) -> list[DataSet]:
        found = []
        data = experiment["data"]
        analysed = experiment["analysis"].get("sets", [])
        for name in dict.fromkeys([*data["train"], *data["benchmarks"], *data.get("spare", []), *analysed]):
            path = self.find(f"data/{name}.json", f"account of the set {name}")
            if path:
                found.append(data_set(read_json(path)))
        return found

    def exports(self, experiment: Mapping[str, Any]) -> list[Export]:
        found = []
        for model, name in dict.fromkeys((cell["model"], cell["train_set"]) for cell in experiment["cells"]):
            path = self.find(f"data/verl/{model}/{name}.json", f"what {model} is trained on of {name}")
            if path:
                account = read_json(path)
                found.append(Export(model, name, account["rows"], account["kept"], account["reasons"]))
        return found

    def contamination(self) -> list[Contamination]:
        path = self.find("data/contamination.json", "overlap of training sets and benchmarks")
        pairs = read_json(path)["pairs"] if path else []
        keys = ("train", "benchmark", "problems", "inside", "removed")
        return [Contamination(**{key: pair[key] for key in keys}, review=pair["reworded"]) for pair in pairs]

    def problems(self, benchmarks: list[str]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for name in benchmarks:
            path = self.find(f"data/normal/{name}.parquet", f"problems of {name}")
            if path:
                table = pd.read_parquet(path, columns=["id", "problem"])
                texts.update(zip(table["id"], table["problem"], strict=True))
        return texts


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers of metrics.jsonl by metric; a line that is still being written is left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        values = json.loads(line)
        step = int(values.pop("step"))
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name, []).append((step, float(value)))
    return found


def switches(schedule: list[Mapping[str, Any]], steps: int) -> list[int]:
    """The steps after which another policy is trained, from the schedule of phases."""
    ends, passed = [], 0
    for phase in schedule[:-1]:
        passed += int(phase["steps"])
        ends.append(passed)
    return [end for end in ends if end < steps]


def trains_internal(schedule: list[Mapping[str, Any]]) -> bool:
    """Whether a phase trains an internal policy; a baseline with a layer trains none."""
    return any(phase["layer"] != "final" for phase in schedule)


def _each(values: list[Any]) -> list[Any]:
    """What is recorded, each value once."""
    return [value for i, value in enumerate(values) if value and value not in values[:i]]


def _learning_rate(config: Mapping[str, Any]) -> float | None:
    try:
        return float(config["actor_rollout_ref"]["actor"]["optim"]["lr"])
    except KeyError:
        return None

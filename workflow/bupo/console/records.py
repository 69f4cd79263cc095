"""What the files of an experiment record of what is in them; what they do not is `NOT_RECORDED`."""

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bupo.console.making import NOT_RECORDED, Facts, made, making, one
from bupo.files import read_json, read_yaml, sha256_file
from bupo.identity import config_sha256
from bupo.report.provenance import analysis_inputs
from bupo.training.jobs import FILE as JOBS
from bupo.training.jobs import gpus

HASHED = 1 << 30
"""Largest file, in bytes, that is hashed to be compared with its record."""
PROVENANCE = "report/tables/provenance.csv"


def read(path: Path) -> Facts:
    """A JSON file's object; empty where there is none."""
    return read_json(path) if path.is_file() else {}


def jobs_of(place: Path, done: Mapping[str, Any]) -> list[Facts]:
    """The calls of the training that worked on a run; empty where they were not recorded."""
    recorded = done.get("jobs") or (read_json(place / JOBS) if (place / JOBS).is_file() else [])
    return list(recorded)


def gpu_hours(
    jobs: Sequence[Mapping[str, Any]], done: Mapping[str, Any], config: Mapping[str, Any]
) -> float | None:
    """GPU-hours of a run: of all its calls that ended, or else of the last one by its wall time.

    None where neither is recorded.
    """
    if jobs:
        return float(sum(job["gpus"] * (_seconds(job) or 0.0) for job in jobs)) / 3600
    if "wall_s" in done and "trainer" in config:
        return gpus(config) * float(done["wall_s"]) / 3600
    return None


def training(folder: Path, run: str) -> Facts:
    """How a run was trained."""
    place = folder / "runs" / run
    file = place / "config.yaml"
    config = read_yaml(file) if file.is_file() else {}
    done, ours, tracking = read(place / "done.json"), config.get("bupo", {}), read(folder / "tracking.json")
    jobs = jobs_of(place, done)
    identity, trained = config_sha256(config) if config else None, done.get("config_sha256")
    actor = config.get("actor_rollout_ref", {}).get("actor", {})
    spent = gpu_hours(jobs, done, config)
    return {
        "configuration": str(file) if config else NOT_RECORDED,
        "identity": trained or identity or NOT_RECORDED,
        "trained as config.yaml says": identity == trained if identity and trained else NOT_RECORDED,
        **{key: ours.get(key, NOT_RECORDED) for key in ("schedule", "layer", "layer_evidence", "seed")},
        "learning_rate": actor.get("optim", {}).get("lr", NOT_RECORDED),
        "status": done.get("status", "completed") if done else "not done",
        **{key: done[key] for key in ("steps", "resumed_from", "wall_s", "collapse") if key in done},
        "commit": one([job["commit"] for job in jobs]),
        "versions": one([job["versions"] for job in jobs]),
        "jobs": [_job(job) for job in jobs] or NOT_RECORDED,
        "GPU-hours": NOT_RECORDED if spent is None else spent,
        **({"GPU-hours are of": "the last call"} if spent is not None and not jobs else {}),
        "training files": _train_files(config, jobs),
        "MLflow run": tracking.get("runs", {}).get(run, NOT_RECORDED),
        "MLflow address": tracking.get("uri", NOT_RECORDED),
        "logs": [
            str(path) for path in (folder / f"logs/runs/{run}.log", place / "log.txt") if path.is_file()
        ],
    }


def file_of_run(folder: Path, run: str, path: Path) -> Facts:
    """A run's file beside its hash in done.json."""
    place = folder / "runs" / run
    if not path.is_file() or not path.is_relative_to(place):
        return {}
    recorded = read(place / "done.json").get("files", {}).get(path.relative_to(place).as_posix())
    return compared(path, recorded)


def evaluation(folder: Path, run: str, benchmark: str) -> Facts:
    """How a model was evaluated."""
    place = folder / "evaluation" / run / benchmark
    summary, log = read(place / "summary.json"), folder / f"logs/evaluation/{run}/{benchmark}.log"
    table = folder / "data/verl" / run.split("/")[0] / f"{benchmark}.parquet"
    keys = ("n_problems", "n_samples", "grader", "settings", "sampling_sha256")
    return {
        **{key: summary.get(key, NOT_RECORDED) for key in keys},
        "benchmark": compared(table, summary.get("benchmark_sha256")),
        **making(place / "summary.json", log),
    }


def analysis(folder: Path, model: str, run: str | None = None) -> Facts:
    """How the internal policies of a model, or of a run's snapshots, were analysed."""
    place = folder / "entropy" / (run or model)
    found = sorted(place.glob("step-*/boundary.json")) if run else [place / "boundary.json"]
    boundary = read(found[-1]) if found else {}
    keys = ("status", "boundary_layer", "reason", "lens", "tolerance", "n_tokens", "n_problems")
    inputs = analysis_inputs(folder, (run or model).split("/")[0], boundary) if boundary else {}
    return {
        **({"snapshots": [path.parent.name for path in found]} if run else {}),
        **{key: boundary.get(key, NOT_RECORDED) for key in (*keys, "problem_files", "settings")},
        "inputs as they are now": {path: sha or "not there" for path, sha in inputs.items()} or NOT_RECORDED,
        **making(
            place / ("flow.parquet" if run else "boundary.json"), folder / f"logs/entropy/{run or model}.log"
        ),
    }


def model(folder: Path, name: str) -> Facts:
    """Which model it is."""
    file = folder / f"models/{name}/model.json"
    keys = ("path", "revision", "architecture", "layers", "parameters", "prompt", "sha256")
    return {key: read(file).get(key, NOT_RECORDED) for key in keys} | making(
        file, folder / f"logs/models/{name}.log"
    )


def data(folder: Path, name: str, model: str | None = None) -> Facts:
    """Where a problem set comes from, and what became of its rows."""
    report = read(folder / f"data/{name}.json")
    facts = {"set": name, **{key: report.get(key, NOT_RECORDED) for key in ("source", "rows", "reasons")}}
    table, log = folder / f"data/normal/{name}.parquet", name
    if model is not None:
        export = read(folder / f"data/verl/{model}/{name}.json")
        facts["for training"] = {key: export.get(key, NOT_RECORDED) for key in ("rows", "kept", "reasons")}
        table, log = folder / f"data/verl/{model}/{name}.parquet", f"verl/{model}/{name}"
    how = making(table, folder / f"logs/data/{log}.log")
    return {**facts, "made": how["made"], "commit": how["commit"]}


def evaluations(folder: Path, runs: Sequence[str], benchmarks: Sequence[str]) -> list[Facts]:
    """By which jobs models were evaluated: a row for each run and benchmark."""
    rows = []
    for run in runs:
        for name in benchmarks:
            facts = making(
                folder / "evaluation" / run / name / "summary.json",
                folder / f"logs/evaluation/{run}/{name}.log",
            )
            jobs = [] if facts["jobs"] == NOT_RECORDED else facts["jobs"]
            numbers = [job["Slurm job"].split()[0] for job in jobs if job["Slurm job"]]
            rows.append(
                {
                    "run": run,
                    "benchmark": name,
                    "commit": facts["commit"],
                    "Slurm jobs": numbers if jobs else NOT_RECORDED,
                    "GPU-hours": facts["GPU-hours"],
                }
            )
    return rows


def report(folder: Path) -> Facts:
    """The code that wrote the report; that of the trainings is theirs."""
    table = folder / PROVENANCE
    lines = table.read_text(encoding="utf-8").splitlines() if table.is_file() else []
    told = {row["what"]: row["value"] for row in csv.DictReader(lines) if row["stage"] == "report"}
    known = {key: told.get(key, NOT_RECORDED) for key in ("commit", "versions")}
    return {**known, "made": made(folder / "report/index.html")}


def compared(path: Path, recorded: str | None) -> Facts:
    """A file beside the hash that was recorded of it; what lies there now may be another one."""
    facts: Facts = {"file": str(path), "sha256": recorded or NOT_RECORDED}
    if not path.is_file():
        return {**facts, "now": "not there"}
    if path.stat().st_size > HASHED:
        return {**facts, "now": "not compared, since it is large"}
    now = sha256_file(path)
    if recorded is None:
        return {**facts, "now": now}
    return {**facts, "now": "the same" if now == recorded else f"another file ({now})"}


def _job(job: Mapping[str, Any]) -> Facts:
    keys = ("started", "ended", "outcome", "slurm_job_id", "partition", "host", "gpus", "commit")
    seconds = _seconds(job)
    spent = NOT_RECORDED if seconds is None else job["gpus"] * seconds / 3600
    return {**{key: job[key] for key in keys}, "GPU-hours": spent}


def _seconds(job: Mapping[str, Any]) -> float | None:
    if job["ended"] is None:
        return None
    return (datetime.fromisoformat(job["ended"]) - datetime.fromisoformat(job["started"])).total_seconds()


def _train_files(config: Mapping[str, Any], jobs: Sequence[Mapping[str, Any]]) -> list[Facts] | str:
    files = config.get("data", {}).get("train_files", [])
    recorded = jobs[-1]["train_files"] if jobs else {}
    listed = [files] if isinstance(files, str) else files
    return [compared(Path(file), recorded.get(file)) for file in listed] or NOT_RECORDED

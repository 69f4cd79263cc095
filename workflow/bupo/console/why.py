"""bupo why: from a file below results/, or a cell, back to what made it.

PATH is any file or folder of an experiment: a figure or a table of the report, scores.parquet, summary.json,
a model, a snapshot. CELL is a cell's name (grpo, grpo/seed1, qwen3_4b/grpo/seed1) or an MLflow run's id.
Everything is read from files; what they do not have is said to be not recorded.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.commit import CHANGED
from bupo.console.making import summed
from bupo.console.shared import read_experiment, run_name, table, tell, tell_json

if TYPE_CHECKING:
    from bupo.console.lineage import Subject

SHOWN = 20
"""Runs and evaluations of a report up to which each is told."""
WIDTH = 110


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", metavar="PATH|CELL", help="a file or folder below results/, or a cell")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where cells are looked for")


def run(arguments: argparse.Namespace) -> int:
    """Print what made something."""
    from bupo.console.lineage import subjects

    found = subjects(arguments.what, arguments.results)
    answers = [answer(subject) for subject in found]
    if arguments.json:
        tell_json(answers)
    else:
        tell("\n\n\n".join(as_text(facts) for facts in answers))
    return 0


def answer(subject: "Subject") -> dict[str, Any]:
    """All that is known of something, by section."""
    from bupo.console import records

    folder, experiment = subject.folder, read_experiment(subject.folder)
    facts: dict[str, Any] = {"what": _what(subject), "experiment": str(folder / "experiment.yaml")}
    if subject.path is not None:
        facts["path"] = str(subject.path)
    base = subject.run is not None and subject.run.split("/")[1] == "base"
    cell = next((c for c in experiment["cells"] if run_name(c) == subject.run), None)
    if cell is not None:
        facts["cell"] = dict(cell)
    if subject.kind == "run" and subject.run and subject.path and not base:
        facts |= records.file_of_run(folder, subject.run, subject.path)
    if subject.kind == "evaluation" and subject.run and subject.name:
        facts["evaluation"] = records.evaluation(folder, subject.run, subject.name)
        facts["benchmark"] = records.data(folder, subject.name)
    if subject.kind in ("analysis", "flow") and subject.model:
        facts["analysis"] = records.analysis(folder, subject.model, subject.run)
    if subject.run and not base:
        facts["training"] = records.training(folder, subject.run)
        if cell is not None:
            facts["training set"] = records.data(folder, cell["train_set"], cell["model"])
    if subject.kind == "run":
        facts |= _evaluations(subject, experiment)
    if subject.kind == "data" and subject.name:
        facts["data"] = records.data(folder, subject.name, subject.model)
    if subject.kind == "report":
        facts["report"] = records.report(folder)
        if subject.sources is not None:
            facts["made of"] = f"{folder}/{subject.sources}"
        facts["runs"] = _runs(subject, experiment)
        facts["GPU-hours of the trainings"] = summed((row["GPU-hours"] for row in facts["runs"]), "run")
        if (subject.sources or "evaluation").startswith("evaluation"):
            facts |= _evaluations(subject, experiment)
        facts["data"] = [records.data(folder, name) for name in _sets(experiment)]
    if subject.model:
        facts["model before training"] = records.model(folder, subject.model)
    elif subject.kind == "report":
        facts["models"] = {name: records.model(folder, name) for name in experiment["models"]["train"]}
    return facts


def as_text(facts: Mapping[str, Any]) -> str:
    """The answer for people."""
    lines = [str(facts["what"])]
    for section, value in facts.items():
        if section in ("runs", "evaluations") and value:
            lines += ["", *_table(value), ""]
        elif section != "what":
            lines += _lines(section, value)
    return "\n".join(lines)


def _what(subject: "Subject") -> str:
    place = f"of the experiment {subject.folder.name}"
    run, name, model = subject.run, subject.name, subject.model
    return {
        "run": f"The run {run} {place}",
        "evaluation": f"The evaluation of {run} on {name} {place}",
        "flow": f"The entropy analysis over the training of {run} {place}",
        "analysis": f"The entropy analysis of {model} {place}",
        "model": f"The model {model} {place}",
        "data": f"The problem set {name} {place}",
        "report": f"A part of the report {place}",
        "experiment": f"A file {place}",
    }[subject.kind]


def _runs(subject: "Subject", experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs behind a figure or the report, as their done.json has them."""
    from bupo.console import records

    rows = []
    for cell in experiment["cells"]:
        if subject.model not in (None, cell["model"]):
            continue
        place = subject.folder / "runs" / run_name(cell)
        done = records.read(place / "done.json")
        jobs = records.jobs_of(place, done)
        numbers = [job["slurm_job_id"] for job in jobs if job["slurm_job_id"]]
        spent = records.gpu_hours(jobs, {}, {})
        rows.append(
            {
                "run": run_name(cell),
                "identity": done.get("config_sha256", records.NOT_RECORDED),
                "status": done.get("status", "completed") if done else "not done",
                "commit": jobs[-1]["commit"] if jobs else records.NOT_RECORDED,
                "Slurm jobs": numbers if jobs else records.NOT_RECORDED,
                "GPU-hours": records.NOT_RECORDED if spent is None else spent,
            }
        )
    return rows


def _evaluations(subject: "Subject", experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluations behind a figure, the report or a run, by the logs of their jobs."""
    from bupo.console import records

    bases = [f"{model}/base/seed0" for model in experiment["models"]["train"]]
    runs = [subject.run] if subject.run else [*bases, *map(run_name, experiment["cells"])]
    named = [run for run in runs if subject.model in (None, run.split("/")[0])]
    benchmarks = [subject.name] if subject.name else experiment["data"]["benchmarks"]
    rows = records.evaluations(subject.folder, named, benchmarks)
    total = summed((row["GPU-hours"] for row in rows), "evaluation")
    return {"evaluations": rows, "GPU-hours of the evaluations": total}


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    head = tuple(rows[0])
    body = [tuple(_short(key, row[key]) for key in head) for row in rows[:SHOWN]]
    yield table(head, body, right={len(head) - 1})
    if len(rows) > SHOWN:
        yield f"{len(rows) - SHOWN:,} more; --json has them."


def _short(key: str, value: Any) -> str:
    """A cell of a table: of a hash as much as tells it from others, and whether files differed from it."""
    if key not in ("identity", "commit"):
        return _shown(value)
    texts = [_shown(part) for part in (value if isinstance(value, list) else [value])]
    return "; ".join(text[:12] + (" + changes" if text.endswith(CHANGED) else "") for text in texts)


def _lines(key: str, value: Any, indent: str = "") -> Iterator[str]:
    """A fact in one line, or its parts below it where that would be long."""
    line = f"{indent}{key}: {_shown(value)}"
    top = isinstance(value, Mapping) and not indent
    if not top and (len(line) <= WIDTH or not isinstance(value, Mapping | list)):
        yield line
        return
    if top:
        yield ""
    yield f"{indent}{key}:"
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _lines(str(name), part, indent + "  ")
    else:
        for number, part in enumerate(value, start=1):
            yield from _lines(str(number), part, indent + "  ")


def _shown(value: Any) -> str:
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return str(value)


def _sets(experiment: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*experiment["data"]["train"], *experiment["data"]["benchmarks"]]))

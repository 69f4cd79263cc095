"""Where each training of a grid stands, from its files, its lock and Slurm's queue."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from bupo.console.slurm import Queue
from bupo.files import is_held, read_json, read_yaml
from bupo.identity import config_sha256
from bupo.training.collapse import COLLAPSED, COMPLETED
from bupo.training.jobs import FILE as JOBS

State = Literal["done", "collapsed", "running", "failed", "waiting"]
TAIL = 1 << 16
"""Bytes at the end of metrics.jsonl that are read: more than the last `RECENT` lines."""
RECENT = 5
RUNNING = ("RUNNING", "COMPLETING")
REWARD, STEP = "critic/score/mean", "timing_s/step"


@dataclass(frozen=True)
class Standing:
    """Where one run stands.

    Attributes:
        run: ``<model>/<cell>/seed<s>``.
        step: the last one in metrics.jsonl, 0 for none; ``steps`` are asked for.
        reward: mean reward of that step.
        left: seconds until the last step, by the median of the last steps; None where nothing runs.
        age: seconds since the last line was written.
        note: why it is so, where that is known.
    """

    run: str
    state: State
    step: int
    steps: int
    reward: float | None = None
    left: float | None = None
    age: float | None = None
    note: str = ""


def standing(
    folder: Path, run: str, steps: int, queue: Queue, submitted: Mapping[str, str | None]
) -> Standing:
    """Where a run stands.

    Args:
        folder: ``results/<experiment>``.
        run: ``<model>/<cell>/seed<s>``.
        steps: that it is to be trained.
        queue: the user's jobs.
        submitted: see `bupo.console.slurm.submitted`.
    """
    place = folder / "runs" / run
    lines, age = last_lines(place / "metrics.jsonl")
    step = int(lines[-1]["step"]) if lines else 0
    reward = lines[-1].get(REWARD) if lines else None
    state, note = _state(folder, run, queue, submitted)
    left = None
    if state == "running" and (times := [line[STEP] for line in lines[-RECENT:] if STEP in line]):
        left = median(times) * (steps - step)
    return Standing(run, state, step, steps, reward, left, age, note)


def last_lines(path: Path) -> tuple[list[dict[str, Any]], float | None]:
    """The whole lines at the end of a metrics file, and its age in seconds; None where there is none."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, 2) - TAIL)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return [], None
    # What stands before the first line break may be a part of a line, and what stands after the last one is.
    parts = text.split("\n")[1 if start else 0 : -1]
    lines = []
    for part in parts[-RECENT:]:
        try:
            line = json.loads(part)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines, max(0.0, time.time() - path.stat().st_mtime)


def _state(folder: Path, run: str, queue: Queue, submitted: Mapping[str, str | None]) -> tuple[State, str]:
    place = folder / "runs" / run
    if (place / "done.json").is_file():
        return _done(place)
    if is_held(place / ".lock"):
        return "running", ""
    jobs = read_json(place / JOBS) if (place / JOBS).is_file() else []
    last = jobs[-1] if jobs else {}
    number = last.get("slurm_job_id") if last.get("ended") is None else None
    own = queue.jobs.get(str(number)) if number else None
    if own is not None and own.state in RUNNING:
        return "running", f"job {own.job_id} on {own.reason}"
    if number and queue.problem:
        return "running", f"job {number} by its last record"
    queued, note = _queued(folder, run, queue, submitted)
    if queued:
        return queued, note
    if last.get("outcome") == "stopped":
        return "waiting", "stopped, to be gone on with"
    if last.get("outcome") in (COMPLETED, COLLAPSED):
        return "waiting", "trained; done.json is to be written again"
    if last:
        named = f" (job {last['slurm_job_id']})" if last.get("slurm_job_id") else ""
        killed = last.get("ended") is None or last.get("outcome") == "killed"
        log = f"{folder}/logs/runs/{run}.log"
        return "failed", f"killed{named}" if killed else f"failed{named}; see {log}"
    return _by_log(folder, run)


def _done(place: Path) -> tuple[State, str]:
    done, config = read_json(place / "done.json"), place / "config.yaml"
    state: State = "collapsed" if done.get("status") == COLLAPSED else "done"
    note = f"at step {done['collapse']['step']}: {done['collapse']['metric']}" if state == "collapsed" else ""
    # The hash of a configuration takes a moment: only one that was written after the run is looked at.
    newer = config.is_file() and config.stat().st_mtime > (place / "done.json").stat().st_mtime
    if newer and config_sha256(read_yaml(config)) != done.get("config_sha256"):
        return "waiting", "trained with another configuration"
    return state, note


def _queued(
    folder: Path, run: str, queue: Queue, submitted: Mapping[str, str | None]
) -> tuple[State | None, str]:
    """By the job that was submitted for it, if it is in the queue."""
    output = f"{folder}/runs/{run}/done.json"
    if output not in submitted:
        return None, ""
    # The comment names no experiment, so that it counts for nothing without the mark.
    comment = f"rule_train_wildcards_{run.replace('/seed', '_').replace('/', '_')}"
    job = queue.jobs.get(submitted[output] or comment)
    if job is None:
        return None, ""
    if job.state in RUNNING:
        return "running", f"job {job.job_id} on {job.reason}"
    return "waiting", f"job {job.job_id}: {job.state.lower()} {job.reason}".rstrip()


def _by_log(folder: Path, run: str) -> tuple[State, str]:
    """A job that never came to train has left no more than its log."""
    log = folder / "logs" / "runs" / f"{run}.log"
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    errors = [line for line in text.splitlines() if line.startswith(("error:", "Traceback"))]
    if errors:
        return "failed", errors[-1][:120]
    return "waiting", ""

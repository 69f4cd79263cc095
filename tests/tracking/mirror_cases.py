"""What a training does with MLflow, without the training: begin, log steps, end."""

import json
import time
from collections import Counter
from pathlib import Path

from grid_files import write_config

from bupo.tracking.grid import Tracking
from bupo.tracking.mirror import Mirror
from bupo.tracking.store import open_store


def write_metrics(path: Path, steps) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"step": step, **values(step)}) for step in steps]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def values(step: int) -> dict[str, float]:
    return {"training/global_step": step, "critic/score/mean": step / 10, "val/acc@8": 0.5}


def mirror(folder: Path, run: str, measure: bool = False) -> Mirror:
    config = folder / "runs" / run / "config.yaml"
    if not config.exists():
        write_config(folder, run)
    return Mirror(folder / "tracking.json", run, config, config.with_name("metrics.jsonl"), measure)


def train(folder: Path, run: str, steps, status: str = "FINISHED", within_s: float = 60.0) -> int:
    """One call of the training; what it returns could not be logged."""
    taken = mirror(folder, run)
    taken.start()
    for step in steps:
        taken.log(step, values(step))
    return taken.close(status, within_s)


def history(tracking: Tracking, run: str, metric: str = "critic/score/mean") -> list[tuple[int, float]]:
    with open_store(tracking.uri) as client:
        run_id = tracking.runs[run]
        return sorted((point.step, point.value) for point in client.get_metric_history(run_id, metric))


def expected(steps) -> list[tuple[int, float]]:
    return [(step, step / 10) for step in steps]


def names_of_runs(tracking: Tracking) -> Counter:
    """How often each run is there, also those that no longer count."""
    with open_store(tracking.uri) as client:
        return Counter(run.info.run_name for run in client.search_runs([tracking.experiment_id]))


def wait_until(true, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)

"""A training's metrics into MLflow while it runs, from a thread: the training never waits for MLflow.

``metrics.jsonl`` is the record, MLflow a picture of it that may lag behind. What cannot be logged now is kept
and tried again; what is left when the process ends is replayed by the next one, or when the experiment is
finished (`bupo.tracking.tree`). Each delivery first asks which steps are there: a step is logged once,
whoever was killed, and wherever an answer got lost.
"""

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.files import read_yaml
from bupo.tracking.address import absolute_uri
from bupo.tracking.grid import read_tracking, run_in_force
from bupo.tracking.replay import Numbers, deliver, log_points, numbers, read_steps
from bupo.tracking.store import open_store
from bupo.tracking.system import SystemMetrics

if TYPE_CHECKING:
    from mlflow import MlflowClient

PERIOD_S, LONGEST_PAUSE_S = 5.0, 300.0
CLOSING_S = 30.0
"""How long the end of a training waits at most for what is still to be logged."""
PARAMS = 100  # MLflow's limit for one call
LONGEST_PARAM = 6000


class Mirror:
    """The MLflow run of one training; nothing in it ever raises into the training.

    Args:
        tracking_file: the experiment's tracking.json; it may be written again while the run lasts, by an
            `init` that finds a MLflow that was away.
        run: ``<model>/<cell>/seed<s>``.
        config_file: the run's composed configuration, which becomes its parameters.
        metrics_file: ``metrics.jsonl``: what is in it already is logged where it is missing.
        measure: whether the machine is measured too.
    """

    def __init__(
        self, tracking_file: Path, run: str, config_file: Path, metrics_file: Path, measure: bool = True
    ) -> None:
        # absolute before anything changes the working directory
        self.uri = absolute_uri(read_tracking(tracking_file).uri)
        self.tracking_file, self.config_file = tracking_file.absolute(), config_file.absolute()
        self.run = run
        self.run_id: str | None = None
        self._status = "FINISHED"
        self._waiting: dict[int, tuple[int, Numbers]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._told = False
        if metrics_file.exists():
            stamp = int(metrics_file.stat().st_mtime * 1000)
            with suppress(UserError):  # the file is the training's to judge
                self._waiting = {step: (stamp, line) for step, line in read_steps(metrics_file).items()}
        self._system = _system_metrics() if measure else None
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="MLflow")

    def start(self) -> None:
        """Begin to log."""
        try:
            # not in the thread: modules that two threads import at once can find each other half made
            import mlflow.entities
            import mlflow.store.tracking.rest_store
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
        except ImportError as error:
            print(f"MLflow: nothing is logged: {error}", file=sys.stderr)
            return
        self._thread.start()
        if self._system:
            self._system.start()

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Take the metrics of a step, to be logged soon."""
        with self._lock:
            self._waiting[step] = (int(time.time() * 1000), numbers(values))

    def close(self, status: str, within_s: float = CLOSING_S) -> int:
        """Log what is left and how the run ended; give up after a while.

        Args:
            status: MLflow's word for how it ended: ``FINISHED``, ``FAILED`` or ``KILLED``.
            within_s: longest time to wait.

        Returns:
            How many steps could not be logged.
        """
        if not self._thread.is_alive():
            return len(self._waiting)
        if self._system:
            self._system.close()
        self._status = status
        self._over.set()
        self._thread.join(timeout=within_s)
        self._given_up.set()  # what is missing is another's to log now, and nothing twice
        return len(self._waiting)

    def _run(self) -> None:
        pause = PERIOD_S
        while True:
            over = self._over.is_set()
            if self._deliver(over):
                if over:
                    return
                pause = PERIOD_S
            elif over:
                if self._given_up.wait(1.0):  # tried again until `close` gives up
                    return
            else:
                pause = min(2 * pause, LONGEST_PAUSE_S)
            self._over.wait(pause)

    def _deliver(self, over: bool) -> bool:
        with self._lock:
            waiting = dict(self._waiting)
        try:
            with open_store(self.uri) as client:
                if self.run_id is None:
                    self.run_id = self._attach(client)
                deliver(client, self.run_id, waiting)
                if self._system:
                    _log_system(client, self.run_id, self._system)
                if over:
                    client.set_terminated(self.run_id, self._status)
        except Exception as error:
            # away, full, locked, another version: whatever it is, the training is not to end by it
            if not self._told:
                reason = str(error).strip().partition("\n")[0][:200]
                print(f"MLflow: away ({reason}); the training goes on, the metrics follow", file=sys.stderr)
            self._told, self.run_id = True, None
            return False
        if self._told:
            print("MLflow: there again", file=sys.stderr)
        self._told = False
        with self._lock:
            for step, sent in waiting.items():
                if self._waiting.get(step) is sent:
                    del self._waiting[step]
        return True

    def _attach(self, client: "MlflowClient") -> str:
        """Find the run, log the parameters it lacks, and mark it as running."""
        from mlflow.entities import Param

        number = run_in_force(client, read_tracking(self.tracking_file), self.run, self.config_file)
        known = client.get_run(number).data.params
        lacking = [
            Param(key, value)
            for key, value in verl_parameters(read_yaml(self.config_file)).items()
            if key not in known
        ]
        for start in range(0, len(lacking), PARAMS):
            client.log_batch(number, params=lacking[start : start + PARAMS])
        client.update_run(number, status="RUNNING")
        return number


def _log_system(client: "MlflowClient", number: str, system: SystemMetrics) -> None:
    """Log the points in their order; steps count on from what an earlier process has logged."""
    from mlflow.entities import Metric

    points = list(system.points)
    if not points:
        return
    witness = next(iter(points[0][1]))
    history = client.get_metric_history(number, witness)
    step, last = max(((point.step, point.timestamp) for point in history), default=(-1, 0))
    fresh = [(stamp, values) for stamp, values in points if stamp > last]
    metrics = [
        Metric(key, value, stamp, step + place)
        for place, (stamp, values) in enumerate(fresh, start=1)
        for key, value in reversed(values.items())  # the witness last
    ]
    log_points(client, number, metrics)
    for _ in points:
        system.points.popleft()


def verl_parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """A configuration as MLflow's parameters, under verl's names for them: ``data/train_batch_size``."""
    flat: dict[str, str] = {}

    def add(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                add(inner, (*path, str(key)))
        elif isinstance(value, list):
            add({"list_len": len(value)} | {str(place): inner for place, inner in enumerate(value)}, path)
        else:
            flat["/".join(path)] = str(value)[:LONGEST_PARAM]

    add(config, ())
    return flat


def _system_metrics() -> SystemMetrics | None:
    try:
        return SystemMetrics()
    except Exception as error:
        print(f"MLflow: the machine is not measured: {error}", file=sys.stderr)
        return None

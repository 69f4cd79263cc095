"""What the machine of a training does: MLflow's system metrics (processors, memory, disk, network, GPUs).

MLflow's own monitor asks the store at each sample and ends with its first failure. This one only measures,
with MLflow's parts; `bupo.tracking.mirror` logs the points when the store can be reached.
"""

import os
import threading
import time
from collections import deque
from typing import Any

INTERVAL_S = 10.0
SAMPLES = 3
"""Samples whose mean is a point: two points a minute, or 3,000 a day."""
KEPT = 20_000
"""Points that wait for a store that is away: a week."""
PREFIX = "system/"


class SystemMetrics:
    """A thread that measures; `points` are what it found, with their times, oldest first.

    Raises:
        ValueError: ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` is no number.
    """

    def __init__(self) -> None:
        self.points: deque[tuple[int, dict[str, float]]] = deque(maxlen=KEPT)
        self.interval_s = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", INTERVAL_S))
        self._monitors = _monitors()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="system metrics")

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what was measured since the last point is one more point."""
        self._over.set()
        self._thread.join(timeout=self.interval_s)

    def _run(self) -> None:
        sampled = 0
        while not self._over.is_set():
            for monitor in self._monitors:
                monitor.collect_metrics()
            sampled += 1
            self._over.wait(self.interval_s)
            if sampled == SAMPLES or self._over.is_set():
                self.points.append((int(time.time() * 1000), self._means()))
                sampled = 0

    def _means(self) -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in self._monitors:
            values |= {PREFIX + key: float(value) for key, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return values


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    except Exception:
        # no GPU, or none that NVIDIA's library tells of: it raises errors of its own classes
        return monitors
    return monitors

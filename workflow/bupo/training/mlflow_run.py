"""The MLflow run of a training run: what verl logs arrives in it while the training goes on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.tracking.grid import read_tracking
from bupo.tracking.mirror import CLOSING_S, Mirror
from bupo.training.stopping import Stopped

STOPPING_S = 10.0
"""How long a run that has to stop waits for MLflow: Slurm kills it half a minute after its signal."""


def find(tracking_file: Path, config: dict[str, Any]) -> str:
    """Which of an experiment's MLflow runs is that of the cell of ``config``.

    Raises:
        UserError: there is no such file, or it has no run for this cell.
    """
    tracking = read_tracking(tracking_file)
    bupo = config["bupo"]
    name = f"{bupo['model']}/{bupo['cell']}/seed{bupo['seed']}"
    if name not in tracking.parameters:
        known = ", ".join(sorted(tracking.parameters))
        raise UserError(f"{tracking_file}: there is no run {name} in it; it has {known}.")
    return name


@contextmanager
def mirrored(tracking_file: Path, run: str, config_file: Path, metrics_file: Path) -> Iterator[Mirror]:
    """Yield what takes the metrics; afterwards wait for what MLflow lacks, and tell it how the run ended.

    Args:
        tracking_file: the experiment's tracking.json.
        run: ``<model>/<cell>/seed<s>``.
        config_file: the run's composed configuration.
        metrics_file: ``metrics.jsonl`` as the training will go on from it.
    """
    mirror = Mirror(tracking_file, run, config_file, metrics_file)
    mirror.start()
    try:
        yield mirror
    except BaseException as error:
        mirror.close("KILLED" if isinstance(error, Stopped) else "FAILED", STOPPING_S)
        raise
    if left := mirror.close("FINISHED", CLOSING_S):
        print(
            f"MLflow: {left} steps have not arrived; they are logged when the experiment is finished",
            file=sys.stderr,
        )

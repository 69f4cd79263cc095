"""Where to look in the MLflow UI: it opens on pages about traces; training runs are one address further."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from bupo.tracking.grid import Tracking

ADDRESS = "http://127.0.0.1:5000"


def runs_link(tracking: Tracking, address: str = ADDRESS) -> str:
    """The table of the experiment's runs."""
    return f"{address}/#/experiments/{tracking.experiment_id}/runs"


def compare_link(tracking: Tracking, address: str = ADDRESS, runs: Iterable[str] | None = None) -> str:
    """The comparison of runs: parameters, metrics, parallel coordinates.

    By default of all trained runs. Without the base models, which have no verl parameters, the plot opens on
    the parameters in which the cells differ.

    Raises:
        UserError: the experiment has no such run.
    """
    ids = [tracking.run_id(run) for run in runs or _trained(tracking)]
    return (
        f"{address}/#/compare-runs?runs={quote(json.dumps(ids))}"
        f"&experiments={quote(json.dumps([tracking.experiment_id]))}"
    )


def _trained(tracking: Tracking) -> list[str]:
    return [run for run in tracking.runs if run.split("/")[1] != "base"]

"""Where to look in the MLflow UI: it opens on pages about traces; training runs are one address further."""

import json
from collections.abc import Iterable
from urllib.parse import quote

from bupo.tracking.address import SQLITE
from bupo.tracking.grid import Tracking
from bupo.tracking.view import KEY

ADDRESS = "http://127.0.0.1:5000"


def ui_address(tracking: Tracking) -> str:
    """Where the UI is: at the experiment's server, or where `bupo.tracking serve` shows a sqlite file."""
    return ADDRESS if tracking.uri.startswith(SQLITE) else tracking.uri.rstrip("/")


def runs_link(tracking: Tracking, address: str = ADDRESS) -> str:
    """The table of the experiment's runs."""
    return f"{address}/#/experiments/{tracking.experiment_id}/runs"


def comparison_link(tracking: Tracking, address: str = ADDRESS) -> str:
    """The trained cells by pass@1 over layer and iterative steps: the view of `bupo.tracking.view`."""
    return f"{runs_link(tracking, address)}?viewStateShareKey={KEY}&compareRunsMode=CHART"


def compare_link(tracking: Tracking, address: str = ADDRESS, runs: Iterable[str] | None = None) -> str:
    """Runs side by side: every parameter and metric, one column a run; by default all trained runs.

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

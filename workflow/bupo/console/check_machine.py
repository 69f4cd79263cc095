"""Checks of the machine: disk, ports, the MLflow store."""

import math
import os
import shutil
import socket
import sqlite3
import sys
from pathlib import Path

from bupo.console.ask import Failed, ask
from bupo.console.check import Check, failed, ok
from bupo.console.shared import size
from bupo.errors import UserError
from bupo.tracking.address import absolute_uri, database_path

MLFLOW_S = 20
MLFLOW = (
    "import sys; from mlflow import MlflowClient; "
    "print(len(MlflowClient(tracking_uri=sys.argv[1]).search_experiments(max_results=1)))"
)
MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


def disk(folder: Path, needed: float) -> Check:
    """Whether what an experiment is still to make fits onto the disk of its results.

    Args:
        folder: of the results; it may not be there yet.
        needed: bytes, at most.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        return failed("disk", f"{there} cannot be written", "name another folder: --config results=FOLDER")
    free = shutil.disk_usage(there).free
    if free < needed:
        return failed(
            "disk",
            f"{size(free)} free at {there}; what the experiment is to make takes {size(needed)} (bupo plan)",
            "free some, name another disk (--config results=FOLDER), or keep less (analysis.snapshots)",
        )
    return ok("disk", f"{size(free)} free at {there}; what the experiment is to make takes {size(needed)}")


def port() -> Check:
    """Whether a process can listen on the loopback interface, as the parts of a training do."""
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            probe.listen()
            return ok("loopback", f"port {probe.getsockname()[1]} is free, among others")
    except OSError as error:
        return failed(
            "loopback", f"no port of 127.0.0.1 can be listened on ({error.strerror})", "ip link set lo up"
        )


def store(uri: str, until: float = math.inf) -> Check:
    """Whether the MLflow store opens; one that is not there yet has to be possible.

    Args:
        uri: its address.
        until: not waited for longer, see `ask`.
    """
    try:
        path = database_path(uri)
    except UserError as error:
        return failed("MLflow", str(error).rstrip("."), "set mlflow in configs/config.yaml")
    if path is not None and not path.exists():
        there = next(parent for parent in path.parents if parent.exists())
        if not os.access(there, os.W_OK):
            return failed("MLflow", f"{path} cannot be made in {there}", "set mlflow in configs/config.yaml")
        return ok("MLflow", f"{uri} is not there yet; the first job makes it")
    if path is not None and not _is_sqlite(path):
        return failed(
            "MLflow",
            f"{path} is no sqlite database",
            f"look at it, and move it away: mv {path} {path}.broken",
        )
    told = ask([sys.executable, "-c", MLFLOW, absolute_uri(uri)], MLFLOW_S, MLFLOW_ENVIRONMENT, until)
    if isinstance(told, Failed):
        remedy = (
            f"mlflow db upgrade {uri}, after a copy of it"
            if path is not None
            else "start the server, or set mlflow in configs/config.yaml to the one that runs"
        )
        return failed("MLflow", f"{uri} does not open: {told.why}", remedy)
    return ok("MLflow", f"{uri} opens")


def _is_sqlite(path: Path) -> bool:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return True

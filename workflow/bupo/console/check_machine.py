"""Checks of the machine: Slurm, disk, ports, the MLflow store."""

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

from bupo.console.check import Check, failed, not_applicable, ok
from bupo.console.shared import size
from bupo.console.slurm import Failed, ask, read_queue, time_limit, time_limits
from bupo.errors import UserError
from bupo.experiment.resources import Resources
from bupo.tracking.address import absolute_uri, database_path

COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")
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


def slurm() -> tuple[list[Check], bool]:
    """Slurm's commands and its partitions, and whether one of them has GPUs."""
    if shutil.which("sbatch") is None:
        return [not_applicable("Slurm", "no sbatch here; jobs run on this machine")], False
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        found = f"sbatch is here, but not {', '.join(missing)}"
        return [failed("Slurm", found, "put the folder of Slurm's commands on PATH")], False
    listed = ask(["sinfo", "--noheader", "--format=%P|%a|%D|%l|%G"])
    if isinstance(listed, Failed):
        return [failed("Slurm", listed.why, "ask whether slurmctld runs: scontrol ping")], False
    rows = [(line.split("|") + [""] * 5)[:5] for line in listed.splitlines() if line.strip()]
    up = [row for row in rows if row[1] == "up"]
    if not up:
        return [failed("Slurm", "no partition is up", "ask who runs the cluster: sinfo shows why")], False
    shown = "; ".join(
        f"{name} {nodes} nodes {limit} {gres}".replace("(null)", "").strip()
        for name, _, nodes, limit, gres in up
    )
    checks = [ok("Slurm", f"partitions that are up (* is the default): {shown}")]
    queue = read_queue()
    if queue.problem:
        checks.append(failed("Slurm's queue", queue.problem, "ask whether slurmctld runs: scontrol ping"))
    else:
        checks.append(
            ok("Slurm's queue", f"{len({job.job_id for job in queue.jobs.values()})} jobs of yours")
        )
    return checks, any("gpu" in row[4] for row in up)


def hours(resources: Resources, jobs: Iterable[tuple[str, str]]) -> list[Check]:
    """Whether Slurm's partitions allow the hours that jobs ask for at first; nothing without Slurm.

    Args:
        resources: what jobs ask for.
        jobs: rules and models.
    """
    if shutil.which("sbatch") is None or isinstance(limits := time_limits(), Failed):
        return []  # `slurm` tells of it

    def most(partition: str | None) -> float:
        return time_limit(limits, partition) / 60

    above: dict[tuple[str, str | None], list[str]] = {}
    for rule, model in jobs:
        job, asked = resources.job(rule, model), resources.of(rule, model)
        key, name = resources.cluster.key(job), resources.cluster.partition(job).name
        wanted = int(asked["runtime"]) / 60
        if wanted > most(name):
            above.setdefault((key, name), []).append(f"{rule} of {model} {wanted:g}")
    checks = [
        failed(
            "Slurm's time limits",
            f"partition {name or '* (the default)'} allows {most(name):g} hours, "
            f"and more are asked for: {', '.join(listed)}",
            f"set partitions.{key}.max_hours in configs/cluster.yaml to {most(name):g}, "
            f"or partitions.{key}.name to one that allows more",
        )
        for (key, name), listed in above.items()
    ]
    return checks or [ok("Slurm's time limits", "allow the hours that the jobs ask for")]


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


def store(uri: str) -> Check:
    """Whether the MLflow store opens; one that is not there yet has to be possible."""
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
    told = ask([sys.executable, "-c", MLFLOW, absolute_uri(uri)], MLFLOW_S, MLFLOW_ENVIRONMENT)
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

"""bupo doctor: whether this machine can run an experiment, and what to do where it cannot.

Looks at Python and the pinned versions, Slurm and whether it would take the experiment's jobs, GPUs, disk,
ports, the MLflow store, and the experiment's models and data. All checks are made, and wait for answers 24
seconds at most, together. The network is asked only with --network. The exit status is 1 where one failed.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bupo.console.shared import add_experiment, chosen, several, tell, tell_json

if TYPE_CHECKING:
    from bupo.console.check import Check

LIMIT_S = 24.0
"""All answers together are waited for no longer: the whole command takes less than 30 s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_experiment(parser)
    parser.add_argument("--network", action="store_true", help="ask the hub for what is not in its cache")
    parser.add_argument("--locks", type=Path, default=Path("envs"), help="folder with the pinned versions")


def run(arguments: argparse.Namespace) -> int:
    """Print every check; 1 where one failed."""
    checks = checked(arguments)
    failures = sum(check.status == "failed" for check in checks)
    if arguments.json:
        tell_json({"failed": failures, "checks": [vars(check) for check in checks]})
    else:
        tell("\n".join(map(str, checks)))
        tell(f"\n{several(failures, 'check')} failed." if failures else "\nNothing failed.")
    return 1 if failures else 0


def checked(arguments: argparse.Namespace) -> "list[Check]":
    """All checks; those that wait for something are made side by side."""
    from bupo.console import check_machine as machine
    from bupo.console import check_slurm as of_slurm
    from bupo.console import check_software as software
    from bupo.console.check import failed, ok
    from bupo.console.check_inputs import inputs
    from bupo.console.plan import estimated
    from bupo.errors import UserError

    until = time.monotonic() + LIMIT_S
    config = chosen(arguments)
    results = Path(config.get("results", "results"))
    uri, needed, wanted, plan = f"sqlite:///{results}/mlflow/mlflow.db", 0.0, 0, None
    try:
        estimate = estimated(arguments)
    except UserError as error:
        found = str(error).rstrip(".")
        experiment = [failed("experiment", found, "mend it; bupo plan says the same in a second")]
    else:
        plan = estimate.plan
        experiment = [ok("experiment", f"{plan.name} is valid, {several(len(plan.cells), 'cell')}")]
        uri, wanted = plan.mlflow_uri, max(row.gpus for row in estimate.rows)
        needed = estimate.bytes_left

    with ThreadPoolExecutor(max_workers=4) as pool:
        mlflow = pool.submit(machine.store, uri, until)
        reached = pool.submit(inputs, plan, arguments.network, until) if plan else None
        devices = pool.submit(software.devices, until)
        attention = pool.submit(software.attention, plan, arguments.configs, until) if plan else None
        slurm, nodes = of_slurm.slurm(until)
        if plan is not None:
            slurm += [*of_slurm.hours(plan, nodes), *of_slurm.jobs(plan, nodes, until)]
        checks = [
            software.python(),
            software.pinned(arguments.locks),
            software.plugin(),
            *(attention.result() if attention else []),
            *slurm,
            software.gpus(devices.result(), wanted, slurm=slurm[0].status != "not applicable"),
            machine.disk(results, needed),
            machine.port(),
        ]
        return [*checks, mlflow.result(), *experiment, *(reached.result() if reached else [])]

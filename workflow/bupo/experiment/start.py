"""How Snakemake comes by an experiment's plan: it makes one, or has that of the process that started it.

Jobs on a cluster's nodes run Snakemake, too. They take the plan as the process that submitted them made it, so
that they hang on nothing that has become of ``configs/`` since, and look at the specs of no other job.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bupo.errors import UserError
from bupo.experiment.plan import Plan
from bupo.files import write_text

PLAN = "BUPO_PLAN"
"""The environment variable that leads jobs to the plan's file."""
CONFIGS = Path("configs")


def plan_or_exit(config: Mapping[str, Any], is_main_process: bool) -> Plan:
    """The plan of the experiment; a mistake ends the process in one sentence.

    Args:
        config: Snakemake's configuration, for the main process.
        is_main_process: whether this one was called by the user, and not by another Snakemake for a job.
    """
    with _or_exit():
        if is_main_process:
            from bupo.experiment.resolve import resolve

            plan = resolve(config, CONFIGS)
        else:
            plan = saved_plan()
        _ = plan.environment.programs  # is there
    return plan


def hold_or_exit(plan: Plan) -> None:
    """Hold the experiment for this process and its jobs; where another one does, a sentence ends this one."""
    with _or_exit():
        hold(plan)


def hold(plan: Plan) -> None:
    """Hold the experiment until this process ends, and save the plan for its jobs.

    Raises:
        UserError: another process runs it, or has written other specs while this one planned.
    """
    from bupo.experiment.written import check_written

    with plan.settling():
        plan.hold()
        check_written(plan, CONFIGS)
        file = Path(plan.folder) / "plan.json"
        write_text(file, _ADAPTER.dump_json(plan, exclude_unset=True).decode())
    os.environ[PLAN] = str(file)  # which jobs inherit, on nodes, too


def saved_plan() -> Plan:
    """The plan of the process that started this one.

    Raises:
        UserError: it left none.
    """
    file = os.environ.get(PLAN)
    if file is None:
        raise UserError(
            f"{PLAN} = None should name the plan of the experiment that runs; with --no-hooks there is none."
        )
    return _ADAPTER.validate_json(Path(file).read_bytes())


@contextmanager
def _or_exit() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)  # Snakemake would print the exit of its own file as a traceback


_ADAPTER = TypeAdapter(Plan)

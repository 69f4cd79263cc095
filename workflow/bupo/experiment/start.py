"""How Snakemake comes by an experiment's plan: it makes one, or has that of the process that started it.

Jobs on a cluster's nodes run Snakemake, too. They take the plan of the process that submitted them, so that
they hang on nothing that has become of ``configs/`` since, and look at the specs of no other job.
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
PLAN_FILE = "plan.json"
"""The plan that was started last, in the experiment's folder."""
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


def hold_or_exit(plan: Plan, on_nodes: bool) -> None:
    """Hold the experiment for this process and its jobs; where that cannot be, a sentence ends it."""
    with _or_exit():
        hold(plan, on_nodes)


def attention_or_exit(plan: Plan) -> None:
    """Check that the environment of the jobs, once it is made, has the attention that they are to use."""
    from bupo.experiment.attention import check_attention

    with _or_exit():
        check_attention(plan, CONFIGS)


def hold(plan: Plan, on_nodes: bool = False) -> None:
    """Hold the experiment until this process ends, and save the plan for its jobs.

    Args:
        plan: of the experiment.
        on_nodes: whether its jobs are submitted to a cluster.

    Raises:
        UserError: another process runs it, or has written other specs while this one planned; or jobs cannot
            be submitted from this folder.
    """
    from bupo.experiment.written import check_written

    for path in (str(Path.cwd()), sys.executable) if on_nodes else ():
        if path.split() != [path]:
            raise UserError(
                f"{path}: Snakemake's commands for the nodes of a cluster break at a space in the path of "
                "the checkout or of Python; a folder without one would be right."
            )
    with plan.settling():
        plan.hold()
        check_written(plan, CONFIGS)
        file = Path(plan.folder) / PLAN_FILE
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
    return read_plan(Path(file))


def read_plan(file: Path) -> Plan:
    """The plan in a file that `hold` wrote."""
    return _ADAPTER.validate_json(file.read_bytes())


@contextmanager
def _or_exit() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)  # Snakemake would print the exit of its own file as a traceback


_ADAPTER = TypeAdapter(Plan)

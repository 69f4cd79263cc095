# What all rules share: the shape of every wildcard, and how a killed run goes on.
from pathlib import Path

from bupo.experiment.watch import Watch


wildcard_constraints:
    set=r"[a-z0-9_]+",
    model=r"[A-Za-z0-9_.]+",
    benchmark=r"[a-z0-9_]+",
    cell=r"[A-Za-z0-9_.+-]+",
    seed=r"\d+",


logger.addHandler(
    Watch(
        PLAN.name,
        PLAN.experiment.expected_seconds,
        # without --cores, as with --profile slurm, the jobs that may be in the queue
        workflow.resource_settings.cores or workflow.nodes or 1,
    )
)


def trained(wildcards):
    """What a run is looked at by: its finished training, or the base model."""
    return PLAN.trained(f"{wildcards.model}/{wildcards.cell}/seed{wildcards.seed}")

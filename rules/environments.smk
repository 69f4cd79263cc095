# What jobs run in: what runs Snakemake, an environment made of a lock file in envs/, or Snakemake's own conda or container.
import sys
from shlex import quote

from bupo.environments import place

LOCK = PLAN.environment.lock
CONDA = f"../envs/{LOCK.stem}.yaml"
MAKE_ENVIRONMENT = f"{quote(sys.executable)} -m bupo.environments --lock {quote(str(LOCK))} --project ."
DEPLOYED = bool(workflow.deployment_settings.deployment_method)


localrules:
    environment,


if PLAN.environment.container:

    container: PLAN.environment.container


# In front of what Snakemake activates, our programs would hide those that are asked for.
PATHS = (
    f"PYTHONPATH={quote(str(workflow.basedir))}/workflow"
    if DEPLOYED
    else f"PATH={quote(str(PLAN.environment.programs))}:$PATH"
)
shell.prefix(f"set -euo pipefail; export {PATHS}; ")


# By itself: `snakemake environment`. An experiment asks for it before its first job (rules/tracking.smk), and not as an
# input of one: another lock would run everything again.
rule environment:
    output:
        place(LOCK) / ".complete",
    log:
        "<results>/logs/environment.log",
    conda:
        CONDA
    params:
        make=MAKE_ENVIRONMENT,
    message:
        "environment: {output}"
    shell:
        "{params.make} 2>&1 | tee {log:q}"

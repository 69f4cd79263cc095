# Reads one experiment, checks it, and names what it makes. Which experiment: configs/config.yaml or --config experiment=NAME.
from bupo.experiment.start import hold_or_exit, plan_or_exit

# jobs on nodes run what is planned, whatever has become of this since
if workflow.is_main_process:

    configfile: "configs/config.yaml"


PLAN = plan_or_exit(config, workflow.is_main_process)


pathvars:
    results=PLAN.folder,


include: "rules/environments.smk"
include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/models.smk"
include: "rules/entropy.smk"
include: "rules/tracking.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        "<results>/report/index.html",
        "<results>/summary.json",
        "<results>/tracked",

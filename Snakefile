# Reads one experiment, checks it, and names what it makes. Which experiment: configs/config.yaml or --config experiment=NAME.
from bupo.experiment.resolve import hold_or_exit, plan_or_exit


configfile: "configs/config.yaml"


PLAN = plan_or_exit(config)


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

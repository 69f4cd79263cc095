# MLflow: the database and every run exist before the jobs that write into them.
from bupo.experiment.start import attention_or_exit

TRACKING = f"{PLAN.folder}/tracking.json"


localrules:
    tracked,


# No rule, and no input of a training: while a job is to run, Snakemake asks of nothing that follows on it, also by way of
# ancient files, whether it has changed. A new cell would hide another grader from the cells that are there.
onstart:
    hold_or_exit(PLAN, on_nodes=not workflow.local_exec)
    if PLAN.environment.to_be_made and not DEPLOYED:
        shell(MAKE_ENVIRONMENT)
    # before jobs wait for their GPUs
    if not DEPLOYED and any(
        job.rule.name == "train" for job in workflow.dag.needrun_jobs()
    ):
        attention_or_exit(PLAN)
    shell(
        "{sys.executable:q} -m bupo.tracking init --experiment {PLAN.folder:q}/experiment.yaml --uri {PLAN.mlflow_uri:q}"
        " --out {TRACKING:q}"
    )


rule tracked:
    input:
        # a new description is logged with the next scores
        experiment=ancient("<results>/experiment.yaml"),
        # hangs on all scores
        page="<results>/report/index.html",
    output:
        "<results>/tracked",
    log:
        "<results>/logs/tracked.log",
    conda:
        CONDA
    params:
        uri=PLAN.mlflow_uri,  # another store has nothing yet
        tracking=TRACKING,
        report=lambda wildcards, input: Path(input.page).parent,
    message:
        "tracking: scores, analysis and report into MLflow"
    shell:
        "python -m bupo.tracking finish --tracking {params.tracking:q} --experiment {input.experiment:q}"
        " --report {params.report:q} --stamp {output:q} 2>&1 | tee {log:q}"

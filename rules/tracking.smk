# MLflow: the database and every run exist before the jobs that write into them.


localrules:
    tracking,
    tracked,


rule tracking:
    input:
        # Only another grid makes it anew. While this job is to run, Snakemake asks of nothing that follows on it, also by
        # way of ancient files, whether it has changed: another grader would leave the trained cells' scores as they are.
        ancient("<results>/experiment.yaml"),
    output:
        "<results>/tracking.json",
    log:
        "<results>/logs/tracking.log",
    conda:
        "../envs/cpu.yaml"
    params:
        uri=PLAN.mlflow_uri,
        grid=[PLAN.benchmarks, PLAN.experiment.training.steps, *map(str, PLAN.cells)],
    message:
        "tracking: MLflow runs for the grid"
    shell:
        "python -m bupo.tracking init --experiment {input:q} --uri {params.uri:q} --out {output:q}"
        " 2>&1 | tee {log:q}"


rule tracked:
    input:
        tracking="<results>/tracking.json",
        experiment="<results>/experiment.yaml",
        page="<results>/report/index.html",
        summaries=PLAN.summaries,
    output:
        "<results>/tracked",
    log:
        "<results>/logs/tracked.log",
    conda:
        "../envs/cpu.yaml"
    params:
        report=lambda wildcards, input: Path(input.page).parent,
    message:
        "tracking: scores, analysis and report into MLflow"
    shell:
        "python -m bupo.tracking finish --tracking {input.tracking:q} --experiment {input.experiment:q}"
        " --report {params.report:q} --stamp {output:q} 2>&1 | tee {log:q}"

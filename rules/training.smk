# One verl run per cell and seed. Checkpoints and metrics are no outputs: Snakemake would delete them when a job fails.


localrules:
    configure,


rule configure:
    input:
        spec="<results>/spec/runs/{model}/{cell}/seed{seed}.yaml",
        model="<results>/models/{model}/model.json",
        boundary=lambda wildcards: PLAN.boundary(wildcards.model, wildcards.cell),
    output:
        "<results>/runs/{model}/{cell}/seed{seed}/config.yaml",
    log:
        "<results>/logs/runs/{model}/{cell}/seed{seed}.configure.log",
    conda:
        CONDA
    params:
        # no input: the spec holds the hash of what it is composed of
        composed=PLAN.composed,
    message:
        "training: configuration of {wildcards.model} {wildcards.cell} seed {wildcards.seed}"
    shell:
        "python -m bupo.experiment configure --spec {input.spec:q} --model {input.model:q}"
        " --boundary {input.boundary:q} --composed {params.composed:q} --out {output:q} 2>&1 | tee {log:q}"


rule train:
    input:
        config="<results>/runs/{model}/{cell}/seed{seed}/config.yaml",
        model="<results>/models/{model}/model.json",
        problems=lambda wildcards: PLAN.train_table(wildcards.model, wildcards.cell),
    output:
        "<results>/runs/{model}/{cell}/seed{seed}/done.json",
    log:
        "<results>/logs/runs/{model}/{cell}/seed{seed}.log",
    # what others wait for goes first
    priority: 20
    conda:
        CONDA
    resources:
        **PLAN.resources.by_job("train"),
    params:
        tracking=TRACKING,
        # no input: what is in it changes nothing that is trained
        overrides=f"{PLAN.folder}/spec/training.yaml",
        folder=lambda wildcards, output: Path(output[0]).parent,
    message:
        "training: {wildcards.model} {wildcards.cell} seed {wildcards.seed}"
    # Slurm tells every process of a job to end; this shell and its log stay until the training has saved.
    shell:
        "trap : TERM USR1; "
        "python -m bupo.training --config {input.config:q} --overrides {params.overrides:q} --out {params.folder:q}"
        " --tracking {params.tracking:q} 2>&1 | (trap '' TERM USR1; exec tee -a {log:q})"

# Models: built and warmed up here, or a file that names a pinned revision or a path.

# Those of the hub are only looked up, which takes a network; compute nodes often have none.
if not any(model.built for model in PLAN.models.values()):

    localrules:
        model,


rule model:
    input:
        spec="<results>/spec/models/{model}.yaml",
    output:
        "<results>/models/{model}/model.json",
    log:
        "<results>/logs/models/{model}.log",
    # what others wait for goes first
    priority: 40
    conda:
        CONDA
    resources:
        **PLAN.resources.by_job("model"),
    params:
        folder=lambda wildcards, output: Path(output[0]).parent,
    message:
        "model: {wildcards.model}"
    shell:
        "python -m bupo.models prepare --spec {input.spec:q} --out {params.folder:q} 2>&1 | tee {log:q}"

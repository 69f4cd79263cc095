# Models: built and warmed up here, or a file that names a pinned revision or a path.
BUILT = [name for name, model in PLAN.models.items() if model.built]
NAMED = [name for name in PLAN.models if name not in BUILT]


# Those are only looked up, which takes a network; compute nodes often have none.
localrules:
    named_model,


rule model:
    input:
        spec="<results>/spec/models/{model}.yaml",
    output:
        "<results>/models/{model}/model.json",
    log:
        "<results>/logs/models/{model}.log",
    wildcard_constraints:
        # without any: nothing at all
        model="|".join(BUILT) or "(?!)",
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


use rule model as named_model with:
    wildcard_constraints:
        model="|".join(NAMED) or "(?!)",

# Entropy analysis of the internal policies, and the boundary layer it finds.


rule entropy:
    input:
        spec="<results>/spec/entropy/{model}.yaml",
        model="<results>/models/{model}/model.json",
        problems=lambda wildcards: PLAN.table(wildcards.model, PLAN.analysis_set),
    output:
        "<results>/entropy/{model}/responses.parquet",
        "<results>/entropy/{model}/statistics.parquet",
        boundary="<results>/entropy/{model}/boundary.json",
    log:
        "<results>/logs/entropy/{model}.log",
    # what others wait for goes first
    priority: 30
    conda:
        "../envs/cpu.yaml"
    params:
        folder=lambda wildcards, output: Path(output.boundary).parent,
    message:
        "entropy: internal policies of {wildcards.model}"
    shell:
        "python -m bupo.entropy {input.model:q} --problems {input.problems:q} --spec {input.spec:q}"
        " --out {params.folder:q} 2>&1 | tee {log:q}"

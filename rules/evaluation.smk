# Samples of the base model and of every trained one, graded.


rule evaluate:
    input:
        spec="<results>/spec/evaluation/{model}.yaml",
        model=lambda wildcards: PLAN.trained(
            "{model}/{cell}/seed{seed}".format(**wildcards)
        ),
        benchmark=lambda wildcards: PLAN.table(wildcards.model, wildcards.benchmark),
    output:
        scores="<results>/evaluation/{model}/{cell}/seed{seed}/{benchmark}/scores.parquet",
        summary="<results>/evaluation/{model}/{cell}/seed{seed}/{benchmark}/summary.json",
    log:
        "<results>/logs/evaluation/{model}/{cell}/seed{seed}/{benchmark}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        model=lambda wildcards, input: Path(input.model).parent,
        folder=lambda wildcards, output: Path(output.summary).parent,
    message:
        "evaluation: {wildcards.model} {wildcards.cell} seed {wildcards.seed} on {wildcards.benchmark}"
    shell:
        "python -m bupo.evaluation run --model {params.model:q} --benchmark {input.benchmark:q} --spec {input.spec:q}"
        " --out {params.folder:q} 2>&1 | tee {log:q}"

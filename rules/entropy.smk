# Entropy analysis of the internal policies, the boundary layer it finds, and the flow of the entropy over a training.
# Only the file that is written last is an output: Snakemake would delete the others, from which a killed job goes on.

if PLAN.shards == 1:

    rule entropy:
        input:
            spec="<results>/spec/entropy/{model}.yaml",
            model="<results>/models/{model}/model.json",
            problems=lambda wildcards: PLAN.analysis_tables(wildcards.model),
        output:
            "<results>/entropy/{model}/boundary.json",
        log:
            "<results>/logs/entropy/{model}.log",
        # what others wait for goes first
        priority: 30
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("entropy"),
        params:
            folder=lambda wildcards, output: Path(output[0]).parent,
        message:
            "entropy: internal policies of {wildcards.model}"
        shell:
            "python -m bupo.entropy {input.model:q} --problems {input.problems:q} --spec {input.spec:q}"
            " --out {params.folder:q} 2>&1 | tee {log:q}"

else:

    rule entropy_shard:
        input:
            spec="<results>/spec/entropy/{model}.yaml",
            model="<results>/models/{model}/model.json",
            problems=lambda wildcards: PLAN.analysis_tables(wildcards.model),
        output:
            "<results>/entropy/{model}/shard-{shard}-of-{shards}/sums.parquet",
        log:
            "<results>/logs/entropy/{model}/shard-{shard}-of-{shards}.log",
        wildcard_constraints:
            shard=r"\d+",
            shards=r"\d+",
        # what others wait for goes first
        priority: 30
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("entropy_shard"),
        params:
            folder=lambda wildcards, output: Path(output[0]).parents[1],
        message:
            "entropy: internal policies of {wildcards.model}, part {wildcards.shard} of {wildcards.shards}"
        shell:
            "python -m bupo.entropy {input.model:q} --problems {input.problems:q} --spec {input.spec:q}"
            " --out {params.folder:q} --shard {wildcards.shard}/{wildcards.shards} 2>&1 | tee {log:q}"

    rule entropy:
        input:
            expand(
                "<results>/entropy/{{model}}/shard-{shard}-of-{shards}/sums.parquet",
                shard=range(1, PLAN.shards + 1),
                shards=PLAN.shards,
            ),
        output:
            "<results>/entropy/{model}/boundary.json",
        log:
            "<results>/logs/entropy/{model}.log",
        priority: 30
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("entropy_merge"),
        params:
            folder=lambda wildcards, output: Path(output[0]).parent,
            shards=PLAN.shards,
        message:
            "entropy: internal policies of {wildcards.model}, all parts"
        shell:
            "python -m bupo.entropy.merge --out {params.folder:q} --shards {params.shards} 2>&1 | tee {log:q}"


rule flow:
    input:
        spec="<results>/spec/entropy/{model}.yaml",
        run=trained,
        cells=lambda wildcards: PLAN.configs(wildcards.model),
        problems=lambda wildcards: PLAN.analysis_tables(wildcards.model),
    output:
        "<results>/entropy/{model}/{cell}/seed{seed}/flow.parquet",
    log:
        "<results>/logs/entropy/{model}/{cell}/seed{seed}.log",
    conda:
        CONDA
    resources:
        **PLAN.resources.by_job("flow"),
    params:
        run=lambda wildcards: PLAN.run_folder(
            "{model}/{cell}/seed{seed}".format(**wildcards)
        ),
        folder=lambda wildcards, output: Path(output[0]).parent,
    message:
        "entropy: over the training of {wildcards.model} {wildcards.cell} seed {wildcards.seed}"
    shell:
        "python -m bupo.entropy.flow --run {params.run:q} --problems {input.problems:q} --spec {input.spec:q}"
        " --cells {input.cells:q} --out {params.folder:q} 2>&1 | tee {log:q}"

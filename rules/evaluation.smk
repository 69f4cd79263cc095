# Samples of the base model and of every trained one, graded: by one job, or drawn in shards and graded by one job more.
# Of a graded evaluation only the file that is written last is an output. Snakemake would delete the samples, from which a
# killed job goes on, and every output costs a kilobyte of each of thousands of jobs that are planned.


# Plain paths where they do, here and below: at thousands of jobs, functions are most of what planning takes.
SAMPLES = PLAN.samples("{model}/{cell}/seed{seed}", "{benchmark}")


if not PLAN.sampled_in_parts:

    rule evaluate:
        input:
            spec="<results>/spec/evaluation/{model}.yaml",
            model=trained,
            benchmark="<results>/data/verl/{model}/{benchmark}.parquet",
        output:
            "<results>/evaluation/{model}/{cell}/seed{seed}/{benchmark}/summary.json",
        log:
            "<results>/logs/evaluation/{model}/{cell}/seed{seed}/{benchmark}.log",
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("evaluate"),
        params:
            model=lambda wildcards, input: Path(input.model).parent,
            folder=f"{PLAN.folder}/evaluation/{{model}}/{{cell}}/seed{{seed}}/{{benchmark}}",
        message:
            "evaluation: {wildcards.model} {wildcards.cell} seed {wildcards.seed} on {wildcards.benchmark}"
        shell:
            "python -m bupo.evaluation run --model {params.model:q} --benchmark {input.benchmark:q} --spec {input.spec:q}"
            " --out {params.folder:q} 2>&1 | tee {log:q}"

else:

    rule sample:
        input:
            spec="<results>/spec/sampling/{model}.yaml",
            model=trained,
            benchmark="<results>/data/verl/{model}/{benchmark}.parquet",
        output:
            # not deleted before the job: what is there and fits is not drawn again
            update(
                "<results>/evaluation/{model}/{cell}/seed{seed}/{benchmark}/"
                "shard-{shard}-of-{shards}-samples-{first}-{last}.parquet"
            ),
        log:
            "<results>/logs/evaluation/{model}/{cell}/seed{seed}/{benchmark}/"
            "shard-{shard}-of-{shards}-samples-{first}-{last}.log",
        wildcard_constraints:
            shard=r"\d+",
            shards=r"\d+",
            first=r"\d+",
            last=r"\d+",
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("sample"),
        params:
            model=lambda wildcards, input: Path(input.model).parent,
            folder=f"{PLAN.folder}/evaluation/{{model}}/{{cell}}/seed{{seed}}/{{benchmark}}",
        message:
            "evaluation: {wildcards.model} {wildcards.cell} seed {wildcards.seed} on {wildcards.benchmark},"
            " samples {wildcards.first} to {wildcards.last}, part {wildcards.shard} of {wildcards.shards}"
        shell:
            "python -m bupo.evaluation sample --model {params.model:q} --benchmark {input.benchmark:q}"
            " --spec {input.spec:q} --out {params.folder:q} --shard {wildcards.shard}/{wildcards.shards}"
            " --samples {wildcards.first}-{wildcards.last} 2>&1 | tee {log:q}"

    rule grade:
        input:
            spec="<results>/spec/evaluation/{model}.yaml",
            model=trained,
            benchmark="<results>/data/verl/{model}/{benchmark}.parquet",
            samples=SAMPLES,
        output:
            "<results>/evaluation/{model}/{cell}/seed{seed}/{benchmark}/summary.json",
        log:
            "<results>/logs/evaluation/{model}/{cell}/seed{seed}/{benchmark}.log",
        conda:
            CONDA
        resources:
            **PLAN.resources.by_job("grade"),
        params:
            model=lambda wildcards, input: Path(input.model).parent,
            folder=f"{PLAN.folder}/evaluation/{{model}}/{{cell}}/seed{{seed}}/{{benchmark}}",
        message:
            "evaluation: {wildcards.model} {wildcards.cell} seed {wildcards.seed} on {wildcards.benchmark}, graded"
        shell:
            "python -m bupo.evaluation grade --model {params.model:q} --benchmark {input.benchmark:q}"
            " --spec {input.spec:q} --out {params.folder:q} 2>&1 | tee {log:q}"

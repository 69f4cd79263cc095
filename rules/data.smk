# Problem sets: upstream form -> normal form -> leaks against the benchmarks -> verl's schema.


localrules:
    normalise,
    contamination,
    export_benchmark,
    export_training,


rule normalise:
    input:
        spec="<results>/spec/data/{set}.yaml",
    output:
        table="<results>/data/normal/{set}.parquet",
        report="<results>/data/{set}.json",
    log:
        "<results>/logs/data/{set}.log",
    conda:
        CONDA
    message:
        "data: {wildcards.set} into normal form"
    shell:
        "python -m bupo.data normalise --spec {input.spec:q} --out {output.table:q} --report {output.report:q}"
        " 2>&1 | tee {log:q}"


rule contamination:
    input:
        train=expand("<results>/data/normal/{set}.parquet", set=PLAN.train_sets),
        benchmarks=expand("<results>/data/normal/{set}.parquet", set=PLAN.benchmarks),
        spare=expand("<results>/data/normal/{set}.parquet", set=PLAN.spare_sets),
    output:
        "<results>/data/contamination.json",
    log:
        "<results>/logs/data/contamination.log",
    conda:
        CONDA
    message:
        "data: training problems that are in a benchmark"
    shell:
        "python -m bupo.data contamination --train {input.train:q} --benchmarks {input.benchmarks:q}"
        " --spare {input.spare:q} --out {output:q} 2>&1 | tee {log:q}"


rule export_training:
    input:
        normal="<results>/data/normal/{set}.parquet",
        contamination="<results>/data/contamination.json",
        model="<results>/models/{model}/model.json",
    output:
        table="<results>/data/verl/{model}/{set}.parquet",
        report="<results>/data/verl/{model}/{set}.json",
    log:
        "<results>/logs/data/verl/{model}/{set}.log",
    wildcard_constraints:
        # without a training set: nothing at all
        set="|".join(PLAN.train_sets) or "(?!)",
    conda:
        CONDA
    params:
        prompt=lambda wildcards: PLAN.models[wildcards.model].prompt,
        longest=PLAN.experiment.data.max_prompt_tokens,
        unreadable="--keep-unreadable" if PLAN.experiment.data.keep_unreadable else "",
        limit=lambda wildcards: PLAN.limit(wildcards.set),
    message:
        "data: {wildcards.set} for training {wildcards.model}"
    shell:
        "python -m bupo.data export --normal {input.normal:q} --prompt {params.prompt}"
        " --contamination {input.contamination:q} --model {input.model:q} --max-prompt-tokens {params.longest}"
        " {params.limit} {params.unreadable} --out {output.table:q} --report {output.report:q} 2>&1 | tee {log:q}"


rule export_benchmark:
    input:
        "<results>/data/normal/{set}.parquet",
    output:
        "<results>/data/verl/{model}/{set}.parquet",
    log:
        "<results>/logs/data/verl/{model}/{set}.log",
    wildcard_constraints:
        set="|".join(name for name in PLAN.sets if not PLAN.is_trained_on(name)),
    conda:
        CONDA
    params:
        prompt=lambda wildcards: PLAN.models[wildcards.model].prompt,
        limit=lambda wildcards: PLAN.limit(wildcards.set),
    message:
        "data: {wildcards.set} with the prompts of {wildcards.model}"
    shell:
        "python -m bupo.data export --normal {input:q} --prompt {params.prompt} {params.limit} --out {output:q}"
        " 2>&1 | tee {log:q}"

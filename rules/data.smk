# Problem sets: upstream form -> normal form -> leaks against the benchmarks -> verl's schema.


localrules:
    normalise,
    contamination,
    export,


rule normalise:
    input:
        spec="<results>/spec/data/{set}.yaml",
    output:
        table="<results>/data/normal/{set}.parquet",
        report="<results>/data/{set}.json",
    log:
        "<results>/logs/data/{set}.log",
    conda:
        "../envs/cpu.yaml"
    message:
        "data: {wildcards.set} into normal form"
    shell:
        "python -m bupo.data normalise --spec {input.spec:q} --out {output.table:q} --report {output.report:q}"
        " 2>&1 | tee {log:q}"


rule contamination:
    input:
        train=expand("<results>/data/normal/{set}.parquet", set=PLAN.train_sets),
        benchmarks=expand("<results>/data/normal/{set}.parquet", set=PLAN.benchmarks),
    output:
        "<results>/data/contamination.json",
    log:
        "<results>/logs/data/contamination.log",
    conda:
        "../envs/cpu.yaml"
    message:
        "data: training problems that are in a benchmark"
    shell:
        "python -m bupo.data contamination --train {input.train:q} --benchmarks {input.benchmarks:q}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule export:
    input:
        normal="<results>/data/normal/{set}.parquet",
        # training sets lose the problems that are in a benchmark; benchmarks stay whole
        contamination=lambda wildcards: PLAN.contamination(wildcards.set),
    output:
        "<results>/data/{prompt}/{set}.parquet",
    log:
        "<results>/logs/data/{prompt}-{set}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        contamination=lambda wildcards, input: (
            f"--contamination {input.contamination}" if input.contamination else ""
        ),
    message:
        "data: {wildcards.set} with {wildcards.prompt} prompts for verl"
    shell:
        "python -m bupo.data export --normal {input.normal:q} --prompt {wildcards.prompt}"
        " {params.contamination} --out {output:q} 2>&1 | tee {log:q}"

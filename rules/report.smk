# The page that answers the experiment's question, and its numbers as one file.


localrules:
    report,


rule report:
    input:
        experiment="<results>/experiment.yaml",
        data=expand("<results>/data/{set}.json", set=PLAN.sets),
        contamination="<results>/data/contamination.json",
        exports=PLAN.exports,
        summaries=PLAN.summaries,
        trained=PLAN.dones,
        boundaries=PLAN.boundaries,
        flows=PLAN.flows,
    output:
        page="<results>/report/index.html",
        summary="<results>/summary.json",
    log:
        "<results>/logs/report.log",
    conda:
        "../envs/cpu.yaml"
    params:
        folder=lambda wildcards, output: Path(output.page).parent,
    message:
        "report: {output.page}"
    shell:
        "python -m bupo.report build --experiment {input.experiment:q} --out {params.folder:q} --summary {output.summary:q}"
        " 2>&1 | tee {log:q}"

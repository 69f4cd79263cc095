# The page that answers the experiment's question, and its numbers as one file.


localrules:
    report,


rule report:
    input:
        # a new description makes no report; a new grid does, by the scores that it adds or leaves out
        experiment=ancient("<results>/experiment.yaml"),
        data=expand("<results>/data/{set}.json", set=PLAN.sets),
        contamination=["<results>/data/contamination.json"] if PLAN.train_sets else [],
        exports=PLAN.exports,
        # every training is below one of these
        summaries=PLAN.summaries,
        boundaries=PLAN.boundaries,
        flows=PLAN.flows,
    output:
        page="<results>/report/index.html",
        summary="<results>/summary.json",
    log:
        "<results>/logs/report.log",
    conda:
        CONDA
    params:
        folder=lambda wildcards, output: Path(output.page).parent,
    message:
        "report: {output.page}"
    shell:
        "python -m bupo.report build --experiment {input.experiment:q} --out {params.folder:q} --summary {output.summary:q}"
        " 2>&1 | tee {log:q}"

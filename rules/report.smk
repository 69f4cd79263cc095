# The page that answers the experiment's question, and its numbers as files. `snakemake --report FILE.html` shows them too.


report: "../workflow/report/workflow.rst"


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
        page=report(
            "<results>/report/index.html",
            caption="../workflow/report/page.rst",
            category="Answer",
            labels={"what": "the page"},
        ),
        summary="<results>/summary.json",
        tables=report(
            directory("<results>/report/tables"),
            patterns=["{table}.csv"],
            caption="../workflow/report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory("<results>/report/figures"),
            patterns=["{figure}.svg"],
            caption="../workflow/report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
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

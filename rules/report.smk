# The page that answers the experiment's question, and its numbers as files. `snakemake --report FILE.html` shows them too.
from bupo.experiment.partial import tell_partial


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
        partial=PLAN.partial,
    message:
        "report: {output.page}"
    shell:
        "python -m bupo.report build --experiment {input.experiment:q} --out {params.folder:q} --summary {output.summary:q}"
        " 2>&1 | tee {log:q} && rm -rf {params.partial:q}"


# The report of what there is where jobs failed for good. Not after Ctrl-C, which is to be quick and leaves jobs running.
onerror:
    failed = {job.rule.name for job in workflow.scheduler.failed}
    if failed - {"report", "tracked"} and not workflow.scheduler.running:
        tell_partial(
            PLAN,
            sys.executable if DEPLOYED else PLAN.environment.programs / "python",
        )

"""Tables of the report, once: the page shows them as HTML, others read them as CSV."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bupo.report.analysis import Analysis
from bupo.report.beside import published_table
from bupo.report.cells import MEAN, Cell
from bupo.report.costs import Cost
from bupo.report.figures_training import CURVES, series
from bupo.report.grid import grid_table
from bupo.report.provenance import facts, provenance_table
from bupo.report.records import ALL, BASE, STATISTICS, Results
from bupo.report.table import Table, Value
from bupo.report.tables_scores import (
    comparisons_table,
    disagreements_table,
    pass_at_k_table,
    responses_table,
    scores_table,
    variance_table,
)

if TYPE_CHECKING:
    import pandas as pd


def all_tables(analysis: Analysis) -> list[Table]:
    """Every table of the report; those of what an experiment does not have are left out."""
    results, cells = analysis.results, analysis.cells
    return [
        scores_table(analysis.scores),
        comparisons_table(analysis.comparisons),
        *([grid_table(analysis.grids)] if analysis.grids else []),
        *([published_table(analysis.published)] if analysis.published else []),
        responses_table(cells, results.benchmarks),
        disagreements_table(cells, results.benchmarks),
        variance_table(results, cells),
        pass_at_k_table(cells, results.benchmarks),
        training_table(cells),
        entropy_table(results),
        flow_table(results),
        boundary_table(results),
        data_table(results),
        training_rows_table(results),
        contamination_table(results),
        stage_cost_table(results),
        cost_table(results),
        provenance_table(facts(results)),
    ]


def training_table(cells: Sequence[Cell]) -> Table:
    """The curves of the report by step."""
    found: list[tuple[Value, ...]] = []
    for cell in cells:
        for run in cell.runs:
            curves = [dict(series(run, curve)) for curve in CURVES]
            for step in sorted({step for curve in curves for step in curve}):
                found.append((cell.model, cell.name, run.seed, step, *(curve.get(step) for curve in curves)))
    names = tuple(curve.name.replace("-", "_") for curve in CURVES)
    return Table("training", ("model", "cell", "seed", "step", *names), found)


def entropy_table(results: Results) -> Table:
    """The statistics of the entropy analysis: all over all responses, entropies and changes in each slice."""
    columns = ("model", *STATISTICS)
    found: list[tuple[Value, ...]] = []
    for entropy in results.entropy:
        table = entropy.study.statistics
        kept = (table["slice"] == ALL) | table["quantity"].isin(["entropy", "entropy_change"])
        found += _values(table[kept].assign(model=entropy.model), columns)
    return Table("entropy", columns, found)


def flow_table(results: Results) -> Table:
    """The statistics over the steps of every run, over all responses."""
    columns = ("run", "step", *STATISTICS)
    flow = results.flow
    return Table("flow", columns, [] if flow is None else _values(flow[flow["slice"] == ALL], columns))


def _values(table: "pd.DataFrame", columns: tuple[str, ...]) -> list[tuple[Value, ...]]:
    rows = table[list(columns)].astype(object)
    return list(rows.where(rows.notna(), None).itertuples(index=False, name=None))


def boundary_table(results: Results) -> Table:
    """FFN entropy change and stage of every layer."""
    columns = ("model", "layer", "ffn_change", "low", "high", "stage", "is_boundary", "lens", "n_problems")
    return Table(
        "boundary",
        columns,
        [
            (
                *(e.model, row.layer, row.change.value, row.change.low, row.change.high, row.stage),
                *(row.layer == e.boundary_layer, e.lens, e.n_problems),
            )
            for e in results.entropy
            for row in e.evidence
        ],
    )


def data_table(results: Results) -> Table:
    """Rows of every problem set."""
    columns = ("set", "role", "upstream", "left_out", "dropped", "kept", "reasons", "source")
    return Table(
        "data",
        columns,
        [
            (
                *(d.name, d.role, d.upstream, d.left_out, d.dropped, d.kept),
                "; ".join(f"{reason}: {count}" for reason, count in d.reasons.items()),
                d.source,
            )
            for d in results.data
        ],
    )


def training_rows_table(results: Results) -> Table:
    """Rows of the training sets that each model was trained on."""
    columns = ("train_set", "model", "normal_form", "trained_on", "reasons")
    rows: list[tuple[Value, ...]] = []
    for export in results.exports:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in export.reasons.items())
        rows.append((export.name, export.model, export.rows, export.kept, reasons))
    return Table("training_rows", columns, rows)


def contamination_table(results: Results) -> Table:
    """Benchmark problems found in training sets."""
    columns = ("train_set", "benchmark", "problems", "inside", "removed_from_training", "to_review")
    return Table(
        "contamination",
        columns,
        [(c.train, c.benchmark, c.problems, c.inside, c.removed, c.review) for c in results.contamination],
    )


def stage_cost_table(results: Results) -> Table:
    """Wall time, GPU-hours and core-hours of every stage."""
    columns = ("stage", "results", "recorded", "wall_s", "gpu_hours", "core_hours", "source")
    return Table(
        "cost_by_stage",
        columns,
        [(s.stage, s.results, s.recorded, *_amounts(s.cost), s.source) for s in results.costs],
    )


def cost_table(results: Results) -> Table:
    """Training time of every run."""
    columns = ("model", "cell", "seed", "steps", "calls", "train_wall_s", "gpu_hours", "core_hours")
    return Table(
        "cost",
        (*columns, "collapsed_at_step"),
        [
            (
                *(r.model, r.cell, r.seed, r.steps, r.cost.calls if r.cost else None, *_amounts(r.cost)),
                r.collapse["step"] if r.collapse else None,
            )
            for r in results.runs
            if r.cell != BASE
        ],
    )


def _amounts(cost: Cost | None) -> tuple[float | None, ...]:
    if cost is None:
        return None, None, None
    gpu, core = (None if value is None else value / 3600 for value in (cost.gpu_s, cost.core_s))
    return cost.wall_s, gpu, core


def mean_label(benchmark: str) -> str:
    """A benchmark's heading; the mean over all is named as such."""
    return "mean of benchmarks" if benchmark == MEAN else benchmark

"""The report as files: the page, its figures, its tables and the summary."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bupo.commit import commit
from bupo.figures.style import PALETTE, Look, cell_looks
from bupo.files import write_json, write_text
from bupo.progress import duration
from bupo.report.cells import MEAN, Cell, cells_of, grpo_for
from bupo.report.collect import collect
from bupo.report.compare import Comparison, comparisons_of, leaders
from bupo.report.drawing import Figures, draw
from bupo.report.examples import examples
from bupo.report.figures_training import CURVES, not_recorded
from bupo.report.provenance import hashes, versions
from bupo.report.records import BASE, Estimate, Results, Run
from bupo.report.review import reviewed
from bupo.report.scores import Score, scores_of
from bupo.report.spread import spreads
from bupo.report.summary import summary
from bupo.report.tables import all_tables, mean_label
from bupo.report.verdict import Answer, answers, points, span

MOST_REVIEWED = 60


def write_report(experiment_file: Path, out: Path, summary_file: Path) -> None:
    """Write ``index.html``, ``figures/`` and ``tables/`` below ``out``, and the summary.

    Files of an earlier report that this one does not have are removed.

    Raises:
        UserError: a file that the report reads is damaged.
    """
    results = collect(experiment_file)
    cells = cells_of(results)
    comparisons = comparisons_of(results, cells)
    scores = leaders(results, cells, scores_of(results, cells), comparisons)
    told = answers(results, cells, scores, comparisons)
    styles = cell_looks([cell.name for cell in cells])
    figures = draw(results, cells, comparisons, styles)
    tables = all_tables(results, cells, scores, comparisons)
    page = render(results, cells, scores, comparisons, told, styles, figures)
    _only(out / "figures", [path for panel in figures.all() for path in panel.save(out / "figures")])
    for table in tables:
        write_text(out / "tables" / f"{table.name}.csv", table.as_csv())
    _only(out / "tables", [out / "tables" / f"{table.name}.csv" for table in tables])
    write_json(summary_file, summary(results, cells, scores, comparisons, told))
    write_text(out / "index.html", page)


def render(
    results: Results,
    cells: Sequence[Cell],
    scores: Sequence[Score],
    comparisons: Sequence[Comparison],
    told: Sequence[Answer],
    styles: Mapping[str, Look],
    figures: Figures,
) -> str:
    """The page as one HTML text that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("bupo.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "interval": interval,
        "span": span,
        "p": p_value,
        "nats": nats,
        "duration": lambda seconds: "not recorded" if seconds is None else duration(seconds),
        "heading": mean_label,
    }
    several = len(results.benchmarks) > 1
    return environment.get_template("template.html.jinja").render(
        results=results,
        experiment=results.experiment,
        cells=cells,
        columns=[*([MEAN] if several else []), *results.benchmarks],
        scores={(s.model, s.cell, s.benchmark): s for s in scores},
        comparisons={
            (c.model, c.cell, c.benchmark, "base" if c.against == BASE else "grpo"): c for c in comparisons
        },
        has_grpo={(cell.model, cell.name) for cell in cells if grpo_for(cell, cells)},
        answers=told,
        swatches={name: _variable(style) for name, style in styles.items()},
        percent_level=f"{100 * results.level:g}",
        figures=figures,
        layers=[_layer_sentence(cell.first) for cell in cells if cell.first.layer_requested == "auto"],
        collapsed=[run for run in results.runs if run.collapse],
        review=reviewed(cells, results.benchmarks),
        spreads=spreads(results, cells),
        root=root_points,
        most_reviewed=MOST_REVIEWED,
        unrecorded={curve.title: not_recorded(cells, curve) for curve in CURVES},
        examples=examples(results, cells),
        versions=versions(),
        commit=commit() or "no git commit (not a checkout)",
        hashes=hashes(results),
        BASE=BASE,
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def interval(estimate: Estimate) -> str:
    """The interval of a share, in percent."""
    return f"{percent(estimate.low)} to {percent(estimate.high)}"


def root_points(variance: float | None) -> str:
    """A part of a variance as a standard deviation in percentage points."""
    return "–" if variance is None else f"{100 * variance**0.5:.1f}"


def nats(value: float) -> str:
    """A signed entropy difference."""
    return f"{value:+.3f}".replace("-", "−")


def p_value(value: float) -> str:
    """A p-value for a table."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _layer_sentence(run: Run) -> str:
    evidence: dict[str, Any] = run.evidence or {}
    name = f"{run.model}/{run.cell}"
    if run.layer is None or not evidence:
        return f"{name}: which layer auto means is not recorded yet."
    if evidence["status"] == "clear":
        why = f"the measured boundary layer of {run.model}"
    else:
        why = "the experiment's stated fallback, since the boundary layer is unclear"
    reason = f" {evidence['reason']}" if evidence.get("reason") else ""
    return f"{name}: auto is layer {run.layer}, {why}.{reason}"


def _variable(style: Look) -> str:
    return next(name for name, color in PALETTE.items() if color == style.color)


def _only(folder: Path, files: Sequence[Path]) -> None:
    """Remove what else is in a folder of the report."""
    if folder.is_dir():
        for path in set(folder.iterdir()) - set(files):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

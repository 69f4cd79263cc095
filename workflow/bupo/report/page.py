"""The report as files: the page, its figures, its tables and the summary."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bupo.commit import commit
from bupo.figures.panel import Panel
from bupo.figures.style import PALETTE, Look, cell_looks
from bupo.files import write_json, write_text
from bupo.published.tables import published_pattern
from bupo.report.analysis import Analysis, analyse
from bupo.report.beside import footnotes
from bupo.report.cells import grpo_for
from bupo.report.collect import collect
from bupo.report.costs import together
from bupo.report.drawing import Figures, draw
from bupo.report.examples import examples
from bupo.report.figures_training import CURVES, not_recorded
from bupo.report.html import environment
from bupo.report.provenance import NO_COMMIT, Shown, facts, trained_with, versions
from bupo.report.records import BASE, Run
from bupo.report.review import reviewed
from bupo.report.spread import spreads
from bupo.report.summary import summary
from bupo.report.table import Table
from bupo.report.tables import all_tables

MOST_REVIEWED, MOST_NAMED = 60, 12
SECTIONS = {
    "answer": "Answer",
    "grid": "Layer × steps",
    "scores": "Scores",
    "published": "The paper's",
    "passk": "pass@k",
    "training": "Training",
    "entropy": "Entropy",
    "data": "Data",
    "examples": "Examples",
    "cost": "Cost",
    "provenance": "Provenance",
}


def write_report(experiment_file: Path, out: Path, summary_file: Path) -> None:
    """Write ``index.html``, ``figures/`` and ``tables/`` below ``out``, and the summary.

    Files of an earlier report that this one does not have are removed.

    Raises:
        UserError: a file that the report reads is damaged.
    """
    analysis = analyse(collect(experiment_file))
    looks = cell_looks([cell.name for cell in analysis.cells])
    figures = draw(analysis, looks)
    page = render(analysis, looks, figures)
    write_parts(out, figures.all(), all_tables(analysis))
    write_json(summary_file, summary(analysis))
    write_text(out / "index.html", page)


def write_parts(out: Path, panels: Sequence[Panel], tables: Sequence[Table]) -> None:
    """Write ``figures/`` and ``tables/`` below ``out``, and remove what else is in them."""
    _only(out / "figures", [path for panel in panels for path in panel.save(out / "figures")])
    paths = [out / "tables" / f"{table.name}.csv" for table in tables]
    for path, table in zip(paths, tables, strict=True):
        write_text(path, table.as_csv())
    _only(out / "tables", paths)


def render(analysis: Analysis, looks: Mapping[str, Look], figures: Figures) -> str:
    """The page as one HTML text that needs nothing else."""
    results, cells = analysis.results, analysis.cells
    left_out = {name for name in ("grid", "published") if not getattr(figures, name, analysis.published)}
    if not cells:
        left_out |= {"scores", "passk", "training", "examples"}
    return (
        environment()
        .get_template("template.html.jinja")
        .render(
            sections=[item for item in SECTIONS.items() if item[0] not in left_out],
            results=results,
            experiment=results.experiment,
            cells=cells,
            columns=analysis.columns,
            scores={(s.model, s.cell, s.benchmark): s for s in analysis.scores},
            comparisons={
                (c.model, c.cell, c.benchmark, "base" if c.against == BASE else "grpo"): c
                for c in analysis.comparisons
            },
            has_grpo={(cell.model, cell.name) for cell in cells if grpo_for(cell, cells)},
            answers=analysis.answers,
            grids=analysis.main_grids,
            published=analysis.published,
            notes=footnotes(analysis.published),
            patterns={entropy.model: _pattern_sentence(entropy.model) for entropy in results.entropy},
            swatches={name: variable(style) for name, style in looks.items()},
            percent_level=f"{100 * results.level:g}",
            figures=figures,
            layers=[_layer_sentence(cell.first) for cell in cells if cell.first.layer_requested == "auto"],
            collapsed=[run for run in results.runs if run.collapse],
            review=reviewed(cells, results.benchmarks),
            spreads=spreads(results, cells),
            most_reviewed=MOST_REVIEWED,
            most_named=MOST_NAMED,
            unrecorded={curve.title: not_recorded(cells, curve) for curve in CURVES},
            examples=examples(results, cells),
            reference="the model before training",
            total=together(stage.cost for stage in results.costs if stage.cost),
            facts=Shown.of(facts(results)),
            trained_with=trained_with(results),
            BASE=BASE,
            **provenance(),
        )
    )


def provenance() -> dict[str, Any]:
    """The code and the environment that write a page."""
    return {"versions": versions(), "commit": commit() or NO_COMMIT}


def variable(style: Look) -> str:
    """The name of the page's variable that has a look's colour."""
    return next(name for name, color in PALETTE.items() if color == style.color)


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


def _pattern_sentence(model: str) -> str:
    pattern = published_pattern(model)
    if pattern is None:
        return ""
    parts = {"attention": pattern.attention, "FFN": pattern.ffn}
    told = "; ".join(f"{name}: {words}" for name, words in parts.items() if words)
    layer = f"; boundary layer {pattern.boundary_layer}" if pattern.boundary_layer else ""
    return f"The paper on the entropy change of {pattern.family}: {told}{layer}."


def _only(folder: Path, files: Sequence[Path]) -> None:
    """Remove what else is in a folder of the report."""
    if folder.is_dir():
        for path in set(folder.iterdir()) - set(files):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

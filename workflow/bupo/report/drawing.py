"""Every figure of the report, by the section of the page it stands in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bupo.figures.entropy import main_panels, more_panels
from bupo.figures.entropy_change import families
from bupo.figures.flow import flow_panels
from bupo.figures.panel import Panel
from bupo.figures.style import Look
from bupo.figures.training_flow import TrainedRun, training_flows
from bupo.report import figures_scores
from bupo.report.analysis import Analysis
from bupo.report.cells import GRPO, Cell
from bupo.report.figures_grid import grid_map
from bupo.report.figures_training import CURVES, training_curve
from bupo.report.records import BASE, Results


@dataclass(frozen=True)
class Figures:
    """The panels of the page.

    Attributes:
        differences: by model, what leads the page; differences_more: where that is the mean, the benchmarks.
        grid: the maps of layer and iterative_steps that answer the experiment; grid_more: on each benchmark.
        pass_at_k, training: of all models.
        families: the models of the entropy analysis beside each other.
        entropy: of each model that was analysed, what a reader asks first.
        entropy_more: of each of them, the other figures.
        flow: of each model, its entropies over the training.
    """

    differences: dict[str, list[Panel]]
    differences_more: list[Panel]
    grid: list[Panel]
    grid_more: list[Panel]
    pass_at_k: list[Panel]
    training: list[Panel]
    families: list[Panel]
    entropy: dict[str, list[Panel]]
    entropy_more: dict[str, list[Panel]]
    flow: dict[str, list[Panel]]

    def all(self) -> list[Panel]:
        """Every panel once."""
        by_model = (self.differences, self.entropy, self.entropy_more, self.flow)
        grouped = [panel for group in by_model for panels in group.values() for panel in panels]
        return [
            *self.differences_more,
            *self.grid,
            *self.grid_more,
            *self.pass_at_k,
            *self.training,
            *self.families,
            *grouped,
        ]


def draw(analysis: Analysis, looks: Mapping[str, Look]) -> Figures:
    """Every figure of the report."""
    results, cells, comparisons = analysis.results, analysis.cells, analysis.comparisons
    models = results.experiment["models"]["train"]
    studies = [entropy.study for entropy in results.entropy]
    return Figures(
        differences={
            model: _drawn(
                figures_scores.differences(
                    comparisons, cells, looks, model, against, results.level, first=True
                )
                for against in (GRPO, BASE)
            )
            for model in models
        },
        differences_more=_drawn(
            figures_scores.differences(comparisons, cells, looks, model, against, results.level, first=False)
            for model in models
            for against in (GRPO, BASE)
        ),
        grid=_drawn(grid_map(grid, results.level) for grid in analysis.main_grids),
        grid_more=_drawn(
            grid_map(grid, results.level) for grid in analysis.grids if grid not in analysis.main_grids
        ),
        pass_at_k=_drawn(
            figures_scores.pass_at_k(cells, looks, model, benchmark)
            for model in models
            for benchmark in results.benchmarks
        ),
        training=_drawn(training_curve(cells, looks, model, curve) for model in models for curve in CURVES),
        families=_drawn([families(studies, lens) for lens in dict.fromkeys(s.lens for s in studies)]),
        entropy={study.model: main_panels(study) for study in studies},
        entropy_more={study.model: more_panels(study) for study in studies},
        flow=_flow(results, cells, looks),
    )


def _flow(results: Results, cells: Sequence[Cell], looks: Mapping[str, Look]) -> dict[str, list[Panel]]:
    if results.flow is None:
        return {}
    runs = {
        run.name: TrainedRun(cell.label, looks[cell.name], run.switches)
        for cell in cells
        for run in cell.runs
    }
    # One spec per model holds for the analysis before training and for the sweep over its checkpoints.
    levels = {entropy.model: entropy.level for entropy in results.entropy}
    return {
        flow.model: flow_panels(replace(flow, level=levels.get(flow.model)))
        for flow in training_flows(results.flow, runs)
    }


def _drawn(panels: Iterable[Panel | None]) -> list[Panel]:
    return [panel for panel in panels if panel is not None]

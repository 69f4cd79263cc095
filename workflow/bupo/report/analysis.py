"""All that the page, the figures, the tables and the summary are made of, computed once."""

from dataclasses import dataclass

from bupo.report.beside import Beside, set_beside
from bupo.report.cells import MEAN, Cell, cells_of
from bupo.report.compare import Comparison, comparisons_of, leaders
from bupo.report.grid import GridMap, grid_maps
from bupo.report.records import Results
from bupo.report.scores import Score, scores_of
from bupo.report.verdict import Answer, answers


@dataclass(frozen=True)
class Analysis:
    """An experiment's results and what follows from them.

    Attributes:
        answers: one for each trained model; none where nothing is trained.
        published: our scores that the paper has a number for.
        grids: maps of layer and iterative_steps on the mean of benchmarks (or the only one), then on each.
    """

    results: Results
    cells: list[Cell]
    scores: list[Score]
    comparisons: list[Comparison]
    answers: list[Answer]
    published: list[Beside]
    grids: list[GridMap]

    @property
    def columns(self) -> list[str]:
        """The benchmarks, their mean before them where there are several."""
        names = self.results.benchmarks
        return [MEAN, *names] if len(names) > 1 else names

    @property
    def main_grids(self) -> list[GridMap]:
        """The maps that answer the experiment."""
        return [grid for grid in self.grids if grid.benchmark in self.columns[:1]]


def analyse(results: Results) -> Analysis:
    """Every number of the report."""
    cells = cells_of(results)
    comparisons = comparisons_of(results, cells)
    scores = leaders(results, cells, scores_of(results, cells), comparisons)
    names = results.benchmarks
    shown = [MEAN, *names] if len(names) > 1 else names
    return Analysis(
        results=results,
        cells=cells,
        scores=scores,
        comparisons=comparisons,
        answers=answers(results, cells, scores, comparisons) if cells else [],
        published=set_beside(results, cells, scores),
        grids=[grid for name in shown for grid in grid_maps(cells, scores, comparisons, name)],
    )

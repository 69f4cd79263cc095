"""Where the spread of each cell's scores is from."""

from collections.abc import Sequence

import numpy as np

from bupo.evaluation.comparison import correct_matrix
from bupo.evaluation.variance import VarianceSplit, variance_split
from bupo.report.cells import Cell
from bupo.report.records import Results


def spreads(results: Results, cells: Sequence[Cell]) -> list[tuple[Cell, str, VarianceSplit]]:
    """The split of every cell's variance on every benchmark, where its seeds have the same samples."""
    found = []
    for cell in cells:
        for benchmark in results.benchmarks:
            if any(benchmark not in run.evaluated for run in cell.runs):
                continue
            matrices = [correct_matrix(run.evaluated[benchmark].scores)[1] for run in cell.runs]
            if len({matrix.shape for matrix in matrices}) == 1 and len(matrices[0]) > 1:
                found.append((cell, benchmark, variance_split(np.stack(matrices))))
    return found

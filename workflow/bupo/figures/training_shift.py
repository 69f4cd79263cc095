"""Heat maps of how the layers' entropies move during training."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from bupo.figures.heat_map import Scale, colour_bar, heat_map
from bupo.figures.hover import hover_fields
from bupo.figures.panel import Panel, finish
from bupo.figures.style import SMALL, headline, new_facets
from bupo.figures.training_flow import TrainingFlow


def entropy_shift(flow: TrainingFlow, lens: str) -> Panel | None:
    """A map of layer and step for each cell: by how much the layer's entropy differs from the start.

    Of a cell with several seeds the first one is shown.
    """
    shown: dict[str, pd.DataFrame] = {}
    switches = {}
    for run, drawn in flow.runs.items():
        rows = flow.rows(run, "entropy", "layer", lens)
        if drawn.label not in shown and rows["step"].nunique() > 1:
            shown[drawn.label], switches[drawn.label] = rows, drawn.switches
    if not shown:
        return None
    shifts = {label: _since_start(rows) for label, rows in shown.items()}
    scale = Scale.of(
        pd.Series(np.concatenate([cells.to_numpy().ravel() for cells in shifts.values()])), signed=True
    )
    figure, grid = new_facets(len(shifts), 1.9, top=0.6)
    for axes, (label, cells) in zip(grid, shifts.items(), strict=True):
        image = heat_map(axes, cells, scale)
        hover_fields(image, _told(label, cells))
        for end in switches[label]:
            # Columns stand at 0, 1, ...: a switch is between the last column up to its step and the next.
            place = sum(int(step) <= end for step in cells.columns) - 0.5
            # Black on white is seen on every colour of the map, in dark mode too.
            axes.axvline(place, color="white", linewidth=2.4)
            axes.axvline(place, color="black", linewidth=1.2, linestyle=(0, (2, 2)))
        every = -(-cells.shape[1] // 8)
        axes.set_xticks(range(0, cells.shape[1], every), [f"{step}" for step in cells.columns[::every]])
        axes.tick_params(labelsize=SMALL)
        axes.set_title(label, fontsize=8.5)
    colour_bar(figure, image, grid, scale, "change, nats per token")
    figure.supxlabel("trainer step", fontsize=9)
    figure.supylabel("layer, counted from 1", fontsize=9)
    title = f"Layer entropy since the start, {lens.replace('_', ' ')} lens: {flow.model}"
    headline(figure, title)
    start = min(int(rows["step"].min()) for rows in shown.values())
    return finish(
        figure,
        f"flow-entropy-shift-{lens}-{flow.model}",
        f"{title}, by layer and training step.",
        flow.caption(
            pd.concat(shown.values()),
            f"Colours: the mean at a step less that at step {start}; of several seeds the first.",
            lens=lens,
            banded=False,
        ),
    )


def _told(label: str, cells: pd.DataFrame) -> Callable[[int, int, float], str]:
    return lambda i, j, value: f"{label}, layer {cells.index[i]}, step {cells.columns[j]}: {value:+.3f} nats"


def _since_start(rows: pd.DataFrame) -> pd.DataFrame:
    """Layers by steps but the first, less the first."""
    cells = rows.pivot(index="layer", columns="step", values="mean")
    return cells.sub(cells.iloc[:, 0], axis=0).iloc[:, 1:]

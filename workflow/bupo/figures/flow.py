"""Every figure of the flow over training."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bupo.figures.panel import Panel
from bupo.figures.study import LENSES
from bupo.figures.training_flow import TrainedRun, TrainingFlow, training_flows
from bupo.figures.training_panels import cosine_by_step, entropy_by_step, kl_by_step, perplexity
from bupo.figures.training_shift import entropy_shift


def write_flow_figures(
    flow: pd.DataFrame,
    folder: Path,
    runs: Mapping[str, TrainedRun] | None = None,
    level: float | None = None,
) -> list[Path]:
    """Write the figures of the flow over training as SVG and PNG to ``folder``; see `training_flows`.

    Returns:
        The files; none where the table has no trained run.
    """
    found = training_flows(flow, runs, level)
    return [path for each in found for panel in flow_panels(each) for path in panel.save(folder)]


def flow_panels(flow: TrainingFlow) -> list[Panel]:
    """Perplexity, entropies, and layer k against later layers, over the steps of a model's runs."""
    measured = set(flow.table.loc[flow.table["quantity"] == "entropy_change", "lens"])
    lenses = [lens for lens in LENSES if lens in measured]
    panels = (
        perplexity(flow),
        *(draw(flow, lens) for lens in lenses for draw in (entropy_shift, entropy_by_step)),
        *(cosine_by_step(flow, anchor) for anchor in flow.anchors),
        *(kl_by_step(flow, anchor, lens) for anchor in flow.anchors for lens in lenses),
    )
    return [panel for panel in panels if panel is not None]

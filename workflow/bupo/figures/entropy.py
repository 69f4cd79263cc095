"""Every figure of the entropy analysis of one model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bupo.figures.entropy_change import entropy_change
from bupo.figures.entropy_flow import entropy_flow
from bupo.figures.entropy_positions import change_by_position, entropy_by_position
from bupo.figures.entropy_relations import (
    agreement,
    cosine_to_later,
    kl_to_final,
    kl_to_later,
    residual_cosines,
    state_norms,
)
from bupo.figures.entropy_slices import by_answer, by_kind, by_set
from bupo.figures.panel import Panel
from bupo.figures.study import Study


def write_figures(statistics: pd.DataFrame, boundary: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write every figure of one model as SVG and PNG to ``folder``.

    Args:
        statistics: the table of statistics.parquet.
        boundary: what boundary.json holds.
        folder: made where it is not there.

    Returns:
        The files.
    """
    study = Study(statistics, boundary)
    return [path for panel in (*main_panels(study), *more_panels(study)) for path in panel.save(folder)]


def main_panels(study: Study) -> list[Panel]:
    """Flow, changes, norms and place in the response: what a reader asks first."""
    own = study.lens
    return _drawn(
        (
            *(entropy_flow(study, lens) for lens in study.lenses),
            *(entropy_change(study, lens) for lens in study.lenses),
            state_norms(study),
            entropy_by_position(study, own),
            change_by_position(study, own),
            by_answer(study, own),
        )
    )


def more_panels(study: Study) -> list[Panel]:
    """How layers stand to the final policy and to later layers, and the other slices."""
    return _drawn(
        (
            kl_to_final(study),
            agreement(study),
            residual_cosines(study),
            cosine_to_later(study),
            *(kl_to_later(study, lens) for lens in study.lenses),
            by_kind(study, study.lens),
            by_set(study, study.lens),
        )
    )


def _drawn(panels: Iterable[Panel | None]) -> list[Panel]:
    return [panel for panel in panels if panel is not None]

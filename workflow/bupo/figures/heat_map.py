"""Heat maps over layers, in one look: bottom layer at the bottom, changes in colours centred on zero."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from bupo.figures.layer_axis import layer_ticks


@dataclass(frozen=True)
class Scale:
    """Colours for values from ``low`` to ``high``; ``cut`` says on which sides values lie beyond."""

    colormap: str
    low: float
    high: float
    cut: str

    @classmethod
    def of(cls, values: "pd.Series[float]", *, signed: bool) -> "Scale":
        """A scale for entropies (from their least to their greatest), or for changes (``signed``).

        A signed scale is even about zero and ends at the 98th percentile of the magnitudes, so that one
        outlying layer does not turn all others pale.
        """
        if not signed:
            return cls("viridis", float(values.min()), float(values.max()), "neither")
        end = float(np.nanquantile(values.abs(), 0.98)) or 1e-9
        beyond = (bool((values < -end).any()), bool((values > end).any()))
        cut = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        return cls("RdBu_r", -end, end, cut[beyond])


def heat_map(axes: Axes, cells: pd.DataFrame, scale: Scale) -> AxesImage:
    """Draw ``cells`` (index: layers from 1, bottom first; columns: from left to right); gaps stay empty."""
    image = axes.imshow(
        cells.to_numpy(dtype=float),
        cmap=scale.colormap,
        vmin=scale.low,
        vmax=scale.high,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    axes.grid(visible=False)
    layers = [int(layer) for layer in cells.index]
    ticks = layer_ticks(layers[0], layers[-1])
    axes.set_yticks([layers.index(layer) for layer in ticks], [str(layer) for layer in ticks])
    return image


def colour_bar(
    figure: Figure, image: AxesImage, axes: Axes | list[Axes], scale: Scale, unit: str
) -> Colorbar:
    """The bar beside ``axes`` that says what the colours mean."""
    bar = figure.colorbar(image, ax=axes, extend=scale.cut, label=unit, pad=0.02, fraction=0.06, aspect=30)
    bar.outline.set_visible(False)
    return bar

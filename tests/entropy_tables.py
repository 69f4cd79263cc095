"""Tables of the entropy stage in its own schema, for tests of what is drawn from them.

The numbers come from smooth curves with noise from a fixed seed: the FFN raises the entropy up to the boundary layer,
leaves it alone for a while, and lowers it at the top.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bupo.figures.study import Study

POSITIONS = ("1-8", "9-16", "17-32", "33-64", "65-128", "129-256", "257-512")
SLICES = ("all", "correct", "wrong", "text", "special", *(f"position {place}" for place in POSITIONS))
COLUMNS = (
    *("quantity", "policy", "layer", "lens", "anchor", "slice", "mean", "low", "high"),
    *("n_tokens", "n_problems"),
)
TOLERANCE = 0.05


class Tables:
    """One model's analysis.

    Attributes:
        statistics, boundary: what ``statistics.parquet`` and ``boundary.json`` hold.
    """

    def __init__(
        self,
        model: str,
        layers: int,
        boundary: int | None,
        *,
        lenses: Sequence[str] = ("raw", "final_norm"),
        anchors: Sequence[int] = (2,),
        problems: int = 96,
        slices: Sequence[str] = SLICES,
        drift: float = 0.0,
        seed: int = 0,
    ) -> None:
        """``drift``: how far training has moved the entropies; one problem: no intervals."""
        self.model, self.layers, self.top = model, layers, boundary
        self.lenses, self.anchors, self.problems, self.drift = lenses, anchors, problems, drift
        self.rng = np.random.default_rng([seed, layers])
        rows = [row for name in slices for row in self._slice(name)]
        self.statistics = pd.DataFrame(rows, columns=COLUMNS).astype({"anchor": "Int64"})
        self.boundary = self._boundary()

    @property
    def study(self) -> Study:
        """The tables as the figures take them."""
        return Study(self.statistics, self.boundary)

    def _slice(self, name: str) -> Iterator[tuple[Any, ...]]:
        share, shift = _part(name)
        problems = max(1, round(self.problems * share**0.3)) if share < 1 else self.problems
        tokens = max(problems, round(16.1 * self.problems * share))
        half = 0.5 / np.sqrt(problems)

        def row(
            quantity: str, policy: str, layer: int, lens: str, mean: float, width: float, k: int | None = None
        ) -> tuple[Any, ...]:
            mean += float(self.rng.normal(0, 0.1 * width))
            low, high = (mean - width, mean + width) if problems > 1 else (np.nan, np.nan)
            return (quantity, policy, layer, lens, k, name, mean, low, high, tokens, problems)

        for lens in self.lenses:
            top = (9.0 if lens == "raw" else 10.5) + shift
            for layer in range(self.layers + 1):
                at = layer / self.layers
                entropy = top * (1 - at**4) * (0.6 + 0.4 * min(1.0, 3 * at)) + 0.4 + self.drift * at
                yield row("entropy", "layer" if layer else "embedding", layer, lens, entropy, half)
                yield row(
                    "kl_to_final", "layer" if layer else "embedding", layer, lens, 9 * (1 - at) ** 0.7, half
                )
                yield row("top1_agreement", "layer" if layer else "embedding", layer, lens, at**3, 0.1 * half)
            for layer in range(1, self.layers + 1):
                yield row("entropy", "attention", layer, lens, top + 0.5, half)
                yield row("entropy", "ffn", layer, lens, top - 3 * layer / self.layers, half)
                yield row("entropy_change", "attention", layer, lens, 0.8 + 0.2 * np.sin(layer), half)
                yield row("entropy_change", "ffn", layer, lens, self._ffn(layer) * (1 + shift / 4), half / 6)
                yield row("entropy_change", "layer", layer, lens, self._ffn(layer) / 2, half / 6)
                for k in (k for k in self.anchors if k < layer):
                    yield row("kl_to_later", "layer", layer, lens, 0.4 * (layer - k) + self.drift, half, k)
        for layer in range(self.layers + 1):
            yield row(
                "norm",
                "layer" if layer else "embedding",
                layer,
                "raw",
                2.0 * 1.25 ** min(layer, 24),
                half / 4,
            )
        for layer in range(1, self.layers + 1):
            yield row("norm", "attention", layer, "raw", 1.5 * 1.2 ** min(layer, 24), half / 4)
            yield row("norm", "ffn", layer, "raw", 1.0 * 1.24 ** min(layer, 24), half / 4)
            yield row("cosine", "attention", layer, "raw", 0.1 - 0.2 * layer / self.layers, 0.02)
            yield row("cosine", "ffn", layer, "raw", 0.3 * np.cos(5 * layer / self.layers), 0.02)
            for k in (k for k in self.anchors if k < layer):
                value = np.exp(-(layer - k) / self.layers) - 0.05 * self.drift
                yield row("cosine_to_later", "layer", layer, "raw", value, 0.02, k)
        yield row("entropy", "final", self.layers, "final_norm", 0.45 + self.drift / 4, half / 4)
        yield row("nll", "final", self.layers, "final_norm", 0.45 + self.drift / 4, half / 4)

    def _ffn(self, layer: int) -> float:
        if self.top is None:
            return float(0.04 + 0.02 * np.sin(3 * layer))
        if layer <= self.top:
            return 0.4 + 0.6 * (self.top - layer + 1) / self.top
        late = layer / self.layers - 0.72
        return -4 * late if late > 0 and layer > self.top + 1 else 0.0

    def _boundary(self) -> dict[str, Any]:
        table = self.statistics
        chosen = (
            (table["quantity"] == "entropy_change") & (table["policy"] == "ffn") & (table["slice"] == "all")
        )
        rows = table[chosen & (table["lens"] == self.lenses[0])]
        clear = self.top is not None and self.problems > 1
        return {
            "model": self.model,
            "layers": self.layers,
            "status": "clear" if clear else "unclear",
            "boundary_layer": self.top if clear else None,
            "recommended_layer": self.top if clear else None,
            "tolerance": TOLERANCE,
            "lens": self.lenses[0],
            "level": 0.95,
            "reason": f"Layer {self.top} is the last whose FFN raises the entropy by more than {TOLERANCE} nats."
            if clear
            else f"No layer's interval lies above the tolerance of {TOLERANCE} nats.",
            "evidence": [
                {
                    "layer": layer,
                    "ffn_change": mean,
                    "low": None if np.isnan(low) else low,
                    "high": None if np.isnan(high) else high,
                    "stage": _stage(low, high),
                }
                for layer, mean, low, high in rows[["layer", "mean", "low", "high"]].itertuples(index=False)
            ],
            "n_tokens": int(rows["n_tokens"].iloc[0]),
            "n_problems": int(rows["n_problems"].iloc[0]),
        }


def flow_table(
    model: str, cell: str, seed: int, layers: int, steps: Sequence[int], *, pace: float = 0.1, **more: Any
) -> pd.DataFrame:
    """What ``flow.parquet`` of a run holds; ``pace``: how far a step moves the entropies."""
    return pd.concat(
        [
            Tables(
                model, layers, 2, drift=pace * np.sqrt(step), seed=1000 * seed + step, slices=("all",), **more
            ).statistics.pipe(_in_front, step, f"{model}/{cell}/seed{seed}")
            for step in steps
        ],
        ignore_index=True,
    )


def _in_front(table: pd.DataFrame, step: int, run: str) -> pd.DataFrame:
    table.insert(0, "step", step)
    table.insert(1, "run", run)
    return table


def _stage(low: float, high: float) -> str:
    if low > TOLERANCE:
        return "exploration"
    if high < -TOLERANCE:
        return "convergence"
    return "integration" if low >= -TOLERANCE and high <= TOLERANCE else "undecided"


def _part(name: str) -> tuple[float, float]:
    """Share of the tokens in a slice, and by how much their entropy differs."""
    if name.startswith("position "):
        number = POSITIONS.index(name.removeprefix("position "))
        return 0.2 * 0.7**number, 0.4 - 0.15 * number
    parts = {"all": (1.0, 0.0), "correct": (0.6, -0.3), "wrong": (0.4, 0.5), "text": (0.95, 0.1)}
    return parts.get(name, (0.05, -0.6))

"""What the entropy figures are drawn from: one model's statistics and its boundary record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

LENSES = {"raw": "raw lens (no final norm)", "final_norm": "lens with the final norm"}
ENOUGH = 5  # problems below which a slice of the responses is not drawn beside others


@dataclass(frozen=True)
class Study:
    """The entropy analysis of one model.

    Attributes:
        statistics: the tidy table of ``statistics.parquet``.
        boundary: what ``boundary.json`` holds.
    """

    statistics: pd.DataFrame
    boundary: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.boundary["model"])

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return int(self.boundary["layers"])

    @property
    def lens(self) -> str:
        """The lens that the boundary is read through."""
        return str(self.boundary["lens"])

    @property
    def lenses(self) -> list[str]:
        """The lenses that entropies were measured through, the paper's first."""
        measured = set(self.statistics.loc[self.statistics["quantity"] == "entropy_change", "lens"])
        return [lens for lens in LENSES if lens in measured]

    @property
    def slices(self) -> list[str]:
        """The slices of the responses, in the table's order."""
        return list(dict.fromkeys(self.statistics["slice"]))

    def rows(
        self,
        quantity: str,
        policies: Iterable[str],
        lens: str,
        slice_: str = "all",
        anchor: int | None = None,
    ) -> pd.DataFrame:
        """The statistics of a quantity by layer, bottom first; empty where it was not measured."""
        table = self.statistics
        chosen = (
            (table["quantity"] == quantity)
            & table["policy"].isin(list(policies))
            & (table["lens"] == lens)
            & (table["slice"] == slice_)
        )
        if anchor is not None:
            chosen &= (table["anchor"] == anchor).fillna(False).astype(bool)
        return table[chosen].sort_values("layer")

    def anchors(self, quantity: str) -> list[int]:
        """The layers k that a quantity of later layers was measured from."""
        chosen = self.statistics["quantity"] == quantity
        return sorted(int(k) for k in self.statistics.loc[chosen, "anchor"].dropna().unique())

    def caption(self, shown: pd.DataFrame, *sentences: str, lens: str | None = None) -> str:
        """The caption of a figure: model, lens, n and intervals of the rows ``shown``, then ``sentences``."""
        through = f", {LENSES[lens]}" if lens else ""
        return " ".join(
            (
                f"{self.model}, {self.layers} layers counted from 1{through}.",
                f"{counts(shown)}; {bands(shown, self.boundary['level'])}.",
                *sentences,
            )
        )


def counts(shown: pd.DataFrame) -> str:
    """How many tokens and problems rows rest on."""
    tokens, problems = shown["n_tokens"], shown["n_problems"]
    return f"{_number(tokens, 'token')} in responses to {_number(problems, 'problem')}"


def sizes(shown: pd.DataFrame) -> str:
    """The same in short."""
    return f"{_number(shown['n_tokens'], 'token')}, {_number(shown['n_problems'], 'problem')}"


def bands(shown: pd.DataFrame, level: float | None) -> str:
    """What the bands in a figure of these rows are."""
    if shown["low"].isna().all():
        return "no intervals, which take two problems or more"
    coverage = "" if level is None else f"{100 * level:g} % "
    return f"bands are {coverage}intervals over problems"


def _number(values: "pd.Series[int]", unit: str) -> str:
    low, high = int(values.min()), int(values.max())
    if low == high:
        return f"{low:,} {unit}" + ("" if low == 1 else "s")
    return f"{low:,} to {high:,} {unit}s"

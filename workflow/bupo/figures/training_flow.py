"""What the figures of the flow over training are drawn from: the statistics of several runs by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bupo.figures.study import LENSES, bands, counts
from bupo.figures.style import Look, cell_looks

BASE = "base"


@dataclass(frozen=True)
class TrainedRun:
    """How a run looks in the figures.

    Attributes:
        label: its name for a reader.
        switches: steps after which another policy is trained; empty where there are none or none are known.
    """

    label: str
    look: Look
    switches: Sequence[int] = ()


@dataclass(frozen=True)
class TrainingFlow:
    """The entropy analyses of the snapshots of one model's runs.

    Attributes:
        table: the tables of ``flow.parquet`` together, over all responses: statistics with the columns
            ``run`` and ``step``.
        runs: the trained runs by name, ``<model>/<cell>/seed<s>``.
        level: coverage of the intervals; None where it is not known.
    """

    model: str
    table: pd.DataFrame
    runs: Mapping[str, TrainedRun] = field(default_factory=dict)
    level: float | None = None

    @property
    def layers(self) -> int:
        """Number of layers, L."""
        return int(self.table["layer"].max())

    @property
    def anchors(self) -> list[int]:
        """The layers k that pairs were measured from, lowest first."""
        return sorted(int(k) for k in self.table["anchor"].dropna().unique())

    def rows(
        self,
        run: str,
        quantity: str,
        policy: str,
        lens: str,
        layer: int | None = None,
        anchor: int | None = None,
    ) -> pd.DataFrame:
        """A quantity over the steps of a run; before them the model before training (step 0), if there."""
        table = self.table
        chosen = (
            table["run"].isin([run, f"{self.model}/{BASE}/seed0"])
            & (table["quantity"] == quantity)
            & (table["policy"] == policy)
            & (table["lens"] == lens)
        )
        if layer is not None:
            chosen &= table["layer"] == layer
        if anchor is not None:
            chosen &= (table["anchor"] == anchor).fillna(False).astype(bool)
        return table[chosen].sort_values(["step", "layer"])

    def caption(
        self, shown: pd.DataFrame, *sentences: str, lens: str | None = None, banded: bool = True
    ) -> str:
        """The caption of a figure: model, lens and n of the rows ``shown``, and intervals if ``banded``."""
        through = f", {LENSES[lens]}" if lens else ""
        intervals = f"; {bands(shown, self.level)}" if banded else ""
        start = "; step 0 is before training" if shown["step"].min() == 0 else ""
        return " ".join(
            (
                f"{self.model}, {self.layers} layers counted from 1{through}.",
                f"At each step {counts(shown)}{intervals}{start}.",
                *sentences,
                *self._switches(),
            )
        )

    def _switches(self) -> list[str]:
        ends: dict[int, list[str]] = {}
        for run in self.runs.values():
            for end in run.switches:
                ends.setdefault(end, []).append(run.label)
        told = "; ".join(
            f"after step {end} ({', '.join(dict.fromkeys(labels))})" for end, labels in sorted(ends.items())
        )
        return [f"Dashed lines: another policy is trained {told}."] if told else []


def training_flows(
    flow: pd.DataFrame, runs: Mapping[str, TrainedRun] | None = None, level: float | None = None
) -> list[TrainingFlow]:
    """One for each model of which a trained run is in the table.

    Args:
        flow: rows of one or more ``flow.parquet``; step 0 is the run ``<model>/base/seed0``.
        runs: how the runs look; by their names where left out.
        level: coverage of the intervals, where known.
    """
    # Of many runs and snapshots there are a million rows to choose from, a hundred times.
    flow = flow[flow["slice"] == "all"].astype(
        dict.fromkeys(("run", "quantity", "policy", "lens"), "category")
    )
    models = flow["run"].str.rsplit("/", n=2).str[0]
    names: dict[str, list[str]] = {}
    for run in dict.fromkeys(flow["run"]):
        model, cell, _ = run.rsplit("/", 2)
        if cell != BASE:
            names.setdefault(model, []).append(run)
    return [
        TrainingFlow(
            model,
            flow[models == model].reset_index(drop=True),
            {run: (runs or {}).get(run) or _plain(run, trained) for run in trained},
            level,
        )
        for model, trained in names.items()
    ]


def _plain(run: str, every: Sequence[str]) -> TrainedRun:
    looks = cell_looks([BASE, *(name.rsplit("/", 2)[1] for name in every)])
    cell = run.rsplit("/", 2)[1]
    return TrainedRun(cell, looks[cell])

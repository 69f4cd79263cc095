"""The grid of an experiment as a list of cells."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bupo.errors import UserError
from bupo.experiment.checks import check_cell
from bupo.experiment.methods import Method
from bupo.experiment.schema import Experiment, layer_at

AXES = ("model", "method", "train_set", "layer", "iterative_steps", "learning_rate", "seed")


@dataclass(frozen=True)
class Cell:
    """One point of the grid: one training run.

    Attributes:
        layer: k, counted from 1, or ``auto``; None for a method without an internal policy.
        iterative_steps: number of phase-1 steps (s_inter in the paper); None without an internal policy.
        learning_rate: None for the method's own.
        name: the cell's name without model and seed, the same for every seed of it.
    """

    model: str
    method: str
    train_set: str
    layer: int | Literal["auto"] | None
    iterative_steps: int | None
    learning_rate: float | None
    seed: int
    name: str = field(compare=False)

    @property
    def run(self) -> str:
        """``<model>/<cell>/seed<s>``: where its files lie below ``runs/`` and ``evaluation/``."""
        return f"{self.model}/{self.name}/seed{self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, the name under ``cell``."""
        values = asdict(self)
        return {"cell": values.pop("name"), **values}


def cells_of(
    experiment: Experiment,
    layers: Mapping[str, int],
    methods: Mapping[str, Method],
    where: str,
    of_model: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Cell]:
    """The baselines and every cell of the grid, in the order of the file; cells that are equal are one.

    Args:
        experiment: the validated experiment file.
        layers: number of layers of each model that is trained.
        methods: every method, by name.
        where: the experiment file, for messages.
        of_model: for each model the ``iterative_steps`` that counts where the grid leaves them out.

    Raises:
        UserError: an unknown name, a layer out of range, an axis that a method needs or lacks, an exclusion
            without effect.
    """
    found: dict[Cell, None] = {}
    for number, cell in _points(experiment, layers, methods, of_model or {}, where):
        check_cell(cell, experiment, layers, methods, f"{where}: grid.{number}")
        found.setdefault(cell)
    kept = _not_excluded(list(found), experiment, layers, where)
    return list(dict.fromkeys([*_baselines(kept, experiment, layers, methods, where), *kept]))


def _not_excluded(
    cells: list[Cell], experiment: Experiment, layers: Mapping[str, int], where: str
) -> list[Cell]:
    for number, exclusion in enumerate(experiment.exclude):
        out = {cell for cell in cells if exclusion.matches(cell.as_dict(), layers[cell.model])}
        if not out:
            raise UserError(
                f"{where}: exclude.{number} matches no cell of the grid; it should leave some out."
            )
        cells = [cell for cell in cells if cell not in out]
    if not cells and experiment.grid:
        raise UserError(f"{where}: exclude leaves no cell of the grid; it should keep some.")
    return cells


def _baselines(
    cells: list[Cell],
    experiment: Experiment,
    layers: Mapping[str, int],
    methods: Mapping[str, Method],
    where: str,
) -> Iterator[Cell]:
    """Each baseline once for all cells that it is compared with: those of its model, set, rate and seed."""
    for number, method in enumerate(experiment.baselines):
        for cell in cells:
            point: dict[str, Any] = {**dict.fromkeys(AXES), "method": method}
            point |= {axis: getattr(cell, axis) for axis in ("model", "train_set", "learning_rate", "seed")}
            named = cell.name.endswith(f"-{cell.train_set}")
            baseline = Cell(**point, name=_name(point, named_set=named))
            check_cell(baseline, experiment, layers, methods, f"{where}: baselines.{number}")
            yield baseline


def _points(
    experiment: Experiment,
    layers: Mapping[str, int],
    methods: Mapping[str, Method],
    of_model: Mapping[str, Mapping[str, Any]],
    where: str,
) -> Iterator[tuple[int, Cell]]:
    for number, block in enumerate(experiment.grid or []):
        given = {axis: getattr(block, axis) for axis in AXES}
        if given["train_set"] is None and len(experiment.data.train) > 1:
            raise UserError(
                f"{where}: grid.{number}.train_set is missing; with several training sets it should be "
                f"one of {', '.join(experiment.data.train)}."
            )
        axes = {
            **{axis: values or [None] for axis, values in given.items()},
            "model": given["model"] or experiment.models.train,
            "train_set": given["train_set"] or experiment.data.train,
        }
        for values in itertools.product(*(axes[axis] for axis in AXES)):
            point = dict(zip(AXES, values, strict=True))
            point["layer"] = layer_at(point["layer"], layers.get(point["model"], 1))
            method = methods.get(point["method"])
            if point["iterative_steps"] is None and method is not None and "iterative_steps" in method.needs:
                point["iterative_steps"] = of_model.get(point["model"], {}).get("iterative_steps")
            yield number, Cell(**point, name=_name(point, named_set=given["train_set"] is not None))


def _name(point: Mapping[str, Any], named_set: bool) -> str:
    parts = [point["method"]]
    if point["layer"] is not None:
        parts.append(f"k{point['layer']}")
    if point["iterative_steps"] is not None:
        parts.append(f"s{point['iterative_steps']}")
    if point["learning_rate"] is not None:
        parts.append(f"lr{point['learning_rate']:g}")
    if named_set:
        parts.append(point["train_set"])
    return "-".join(parts)

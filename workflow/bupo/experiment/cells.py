"""The grid of an experiment as a list of cells."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bupo.errors import UserError
from bupo.experiment.methods import NEEDED, Method
from bupo.experiment.schema import Experiment

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
    """Every cell of the grid, in the order of the file.

    Args:
        experiment: the validated experiment file.
        layers: number of layers of each model that is trained.
        methods: every method, by name.
        where: the experiment file, for messages.
        of_model: for each model the ``iterative_steps`` that counts where the grid leaves them out.

    Raises:
        UserError: an unknown name, a layer out of range, an axis that a method needs or lacks, equal cells.
    """
    cells: list[Cell] = []
    seen: dict[Cell, str] = {}
    for number, cell in _points(experiment, methods, of_model or {}, where):
        key = f"grid.{number}"
        _check(cell, experiment, layers, methods, f"{where}: {key}")
        if cell in seen:
            raise UserError(
                f"{where}: {key} makes the cell {cell.run} that {seen[cell]} makes already; "
                "each cell should be named once."
            )
        seen[cell] = key
        cells.append(cell)
    return cells


def _points(
    experiment: Experiment,
    methods: Mapping[str, Method],
    of_model: Mapping[str, Mapping[str, Any]],
    where: str,
) -> Iterator[tuple[int, Cell]]:
    for number, block in enumerate(experiment.grid):
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


def _check(
    cell: Cell, experiment: Experiment, layers: Mapping[str, int], methods: Mapping[str, Method], where: str
) -> None:
    for axis, value, known in (
        ("method", cell.method, list(methods)),
        ("model", cell.model, experiment.models.train),
        ("train_set", cell.train_set, experiment.data.train),
    ):
        if value not in known:
            raise UserError(
                f"{where}.{axis} = {value!r} is not known; it should be one of {', '.join(known)}."
            )
    needs = methods[cell.method].needs
    for axis in NEEDED:
        value = getattr(cell, axis)
        if value is None and axis in needs:
            raise UserError(f"{where}.{axis} is missing; the method {cell.method} needs it.")
        if value is not None and axis not in needs:
            raise UserError(
                f"{where}.{axis} = {value!r} has no meaning for the method {cell.method}; leave it out there."
            )
    if isinstance(cell.layer, int) and cell.layer > layers[cell.model]:
        raise UserError(
            f"{where}.layer = {cell.layer} is out of range; "
            f"{cell.model} has layers 1 to {layers[cell.model]}."
        )
    if cell.layer == "auto":
        if experiment.auto_layer is None:
            raise UserError(
                f"{where}.layer = 'auto' needs auto_layer.fallback, the layer for an unclear boundary."
            )
        if cell.model not in experiment.models.analyse:
            raise UserError(
                f"{where}.layer = 'auto' needs the entropy analysis of {cell.model}; "
                "add it to models.analyse."
            )
        if experiment.auto_layer.fallback > layers[cell.model]:
            raise UserError(
                f"{where}: auto_layer.fallback = {experiment.auto_layer.fallback} is out of range; "
                f"{cell.model} has layers 1 to {layers[cell.model]}."
            )
    _check_phases(cell, experiment, layers[cell.model], methods[cell.method], where)


def _check_phases(cell: Cell, experiment: Experiment, total: int, method: Method, where: str) -> None:
    fallback = experiment.auto_layer.fallback if experiment.auto_layer else None
    layer = fallback if cell.layer == "auto" else cell.layer
    try:
        phases = method.schedule(layer, cell.iterative_steps, total)
    except UserError as error:
        raise UserError(f"{where}: {error}.") from None
    planned = sum(phase.get("steps") or 0 for phase in phases)
    if planned > experiment.training.steps:
        raise UserError(
            f"{where}.iterative_steps = {cell.iterative_steps} makes {planned} steps before the last phase, "
            f"more than training.steps = {experiment.training.steps}."
        )

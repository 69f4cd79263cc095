"""What cannot be a cell, said in one sentence before anything starts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bupo.errors import UserError
from bupo.experiment.methods import NEEDED, Method
from bupo.experiment.schema import Experiment

if TYPE_CHECKING:
    from bupo.experiment.cells import Cell


def check_parts(experiment: Experiment, where: str) -> None:
    """Check that an experiment has what its grid needs, or without one only what the entropy analysis does.

    Args:
        experiment: the validated experiment file.
        where: the file, for messages.

    Raises:
        UserError: a part is missing, or has no meaning.
    """
    of_grid = {
        "models.train": experiment.models.train,
        "data.train": experiment.data.train,
        "data.benchmarks": experiment.data.benchmarks,
        "training.engine": experiment.training.engine,
        "training.steps": experiment.training.steps,
        "evaluation.settings": experiment.evaluation.settings,
    }
    for key, given in of_grid.items():
        if experiment.grid and not given:
            raise UserError(f"{where}: {key} is missing; an experiment with a grid needs it.")
        if given and not experiment.grid:
            raise UserError(f"{where}: {key} has no meaning without a grid; add one, or leave it out.")
    if not experiment.grid and not experiment.models.analyse:
        raise UserError(f"{where}: there is neither a grid nor models.analyse; it should have one of them.")


def check_cell(
    cell: "Cell", experiment: Experiment, layers: Mapping[str, int], methods: Mapping[str, Method], where: str
) -> None:
    """Check one cell of a grid.

    Args:
        cell: to check.
        experiment: the validated experiment file.
        layers: number of layers of each model that is trained.
        methods: every method, by name.
        where: the experiment file and the grid's key, for messages.

    Raises:
        UserError: an unknown name, a layer out of range, an axis that the method needs or lacks.
    """
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


def _check_phases(cell: "Cell", experiment: Experiment, total: int, method: Method, where: str) -> None:
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

"""The methods of ``configs/algorithm/``: what each leaves open to the grid, and what it trains when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import bupo.experiment.climb  # noqa: F401 - makes ${climb:...} known
from bupo.errors import UserError
from bupo.experiment.groups import names_in
from bupo.validation import load_yaml

OPEN = "???"
NEEDED = ("layer", "iterative_steps")


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        bupo: the section ``bupo`` of its file, laid over those of the files that it builds on.
    """

    name: str
    bupo: Mapping[str, Any]
    _phases: dict[Any, list[dict[str, Any]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def needs(self) -> set[str]:
        """The axes of the grid without which it says nothing: layer, iterative_steps or none."""
        return {key for key in NEEDED if self.bupo.get(key) == OPEN}

    def schedule(self, layer: int | None, iterative_steps: int | None, total: int) -> list[dict[str, Any]]:
        """Its phases, each with ``layer`` and, but for the last, ``steps``.

        Args:
            layer: of the cell, counted from 1.
            iterative_steps: of the cell.
            total: L.

        Raises:
            UserError: the method has no phases with these values.
        """
        point = (layer, iterative_steps, total)
        if point not in self._phases:
            self._phases[point] = self._resolved(*point)
        return self._phases[point]

    def _resolved(self, layer: int | None, iterative_steps: int | None, total: int) -> list[dict[str, Any]]:
        values = {"layers": total, "layer": layer, "iterative_steps": iterative_steps}
        config = OmegaConf.create({"bupo": {**values, "schedule": self.bupo["schedule"]}})
        try:
            resolved: Any = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            reason = str(error).split("\n", maxsplit=1)[0].rpartition("interpolation: ")[2]
            raise UserError(f"the method {self.name} with layer = {layer}: {reason}") from None
        phases: list[dict[str, Any]] = resolved["bupo"]["schedule"]
        return phases


def load_methods(configs: Path) -> dict[str, Method]:
    """Every method, by name."""
    return {name: Method(name, _section(configs, name)) for name in names_in(configs, "algorithm")}


def _section(configs: Path, name: str) -> dict[str, Any]:
    values = load_yaml(configs / "algorithm" / f"{name}.yaml") or {}
    merged: dict[str, Any] = {}
    for base in values.get("defaults", []):
        merged |= _section(configs, base)
    return merged | (values.get("bupo") or {})

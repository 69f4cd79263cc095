"""Hydra composition of complete verl configurations.

The primary config ``configs/cell.yaml`` names verl's own ``ppo_trainer`` first and our groups after it.
verl's tree is found as files, without importing verl (which takes seconds and needs torch).
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bupo.errors import UserError
from bupo.experiment.composed import filled, sentence


def verl_config_directory() -> Path:
    """The folder of verl's own Hydra tree.

    Raises:
        UserError: verl is not installed in this environment.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("verl is not installed in this environment; envs/ has the environments that hold it.")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def composed(configs: Path, overrides: Sequence[str], where: str) -> DictConfig:
    """What all cells with these overrides have in common; nothing is resolved.

    Args:
        configs: the project's ``configs/`` folder.
        overrides: Hydra overrides, groups and keys, in their order.
        where: the file the overrides come from, for messages.

    Raises:
        UserError: an override that Hydra cannot apply.
    """
    search_path = f"hydra.searchpath=[file://{verl_config_directory()}]"
    try:
        with initialize_config_dir(config_dir=str(configs.resolve()), version_base=None):
            return compose(config_name="cell", overrides=[search_path, *overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{where}: {sentence(error)}.") from None


def compose_cell(
    configs: Path, overrides: Sequence[str], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The resolved configuration of one cell: `composed`, then `bupo.experiment.composed.filled`.

    Raises:
        UserError: an override that Hydra cannot apply, or a value that is missing.
    """
    return filled(composed(configs, overrides, where), values, where)

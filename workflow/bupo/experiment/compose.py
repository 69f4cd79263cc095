"""Hydra composition of one cell's complete verl configuration.

The primary config ``configs/cell.yaml`` names verl's own ``ppo_trainer`` first and our groups after it.
verl's tree is found as files, without importing verl (which takes seconds and needs torch).
"""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import bupo.experiment.methods  # noqa: F401 - makes ${climb:...} known
from bupo.errors import UserError

OF_MODEL = "of_model"
"""Key of a settings file with the values of single models, of which a configuration keeps its own."""


def verl_config_directory() -> Path:
    """The folder of verl's own Hydra tree.

    Raises:
        UserError: verl is not installed in this environment.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("verl is not installed in this environment; envs/ has the environments that hold it.")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"


def compose_cell(
    configs: Path, overrides: Sequence[str], values: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The resolved configuration of one cell: plain values, no interpolation left.

    Args:
        configs: the project's ``configs/`` folder.
        overrides: Hydra overrides, groups and keys, in their order.
        values: dotted keys set after them; they may be new.
        where: the file the overrides come from, for messages.

    Raises:
        UserError: an override that Hydra cannot apply, or a value that is missing.
    """
    search_path = f"hydra.searchpath=[file://{verl_config_directory()}]"
    try:
        with initialize_config_dir(config_dir=str(configs.resolve()), version_base=None):
            config = compose(config_name="cell", overrides=[search_path, *overrides])
        OmegaConf.set_struct(config, False)
        for key, value in values.items():
            OmegaConf.update(config, key, value, merge=False)
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        message = " ".join(str(error).split("\n", maxsplit=1)[0].split())
        raise UserError(f"{where}: {message.rstrip('.')}.") from None
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items() if key != OF_MODEL}

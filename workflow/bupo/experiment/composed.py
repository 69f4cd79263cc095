"""The configurations that cells have in common: composed once, kept, and filled in for each cell.

Composing takes longer than all else that makes a cell's configuration, and reads ``configs/``, which may have
been edited since the grid began. It hangs on the method and its overrides alone; a cell adds values. So it is
done once for each method and model when a grid is planned, and the cells' jobs begin with that.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import bupo.experiment.climb  # noqa: F401 - makes ${climb:...} known
from bupo.errors import UserError
from bupo.files import read_json

OF_MODEL = "of_model"
"""Key of a settings file with the values of single models, of which a configuration keeps its own."""


def composed_file(folder: Path, model: str, method: str) -> Path:
    """Where the configuration of a method's cells is kept below the folder of all of them."""
    return folder / model / f"{method}.json"


def kept(config: DictConfig, sources: str) -> str:
    """The text of the file that keeps a composed configuration, nothing of which is resolved.

    Args:
        config: as Hydra composes it.
        sources: hash of what it is composed of.
    """
    return json.dumps({"sources": sources, "config": OmegaConf.to_container(config)})


def read_composed(file: Path) -> DictConfig:
    """A configuration that is kept.

    Raises:
        UserError: it is not there.
    """
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; planning the experiment with Snakemake writes it.")
    return of_text(file.read_text(encoding="utf-8"))


def of_text(text: str) -> DictConfig:
    """The configuration in the text of such a file."""
    return OmegaConf.create(json.loads(text)["config"])


def sources_of(file: Path) -> str | None:
    """The hash of what a configuration that is kept was composed of; None where there is no whole one."""
    try:
        return str(read_json(file)["sources"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def filled(config: DictConfig, values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The resolved configuration of one cell: plain values, no interpolation left.

    Args:
        config: composed; it is changed.
        values: dotted keys set after the overrides; they may be new.
        where: the file that the values come from, for messages.

    Raises:
        UserError: a value that is missing or cannot be set.
    """
    try:
        OmegaConf.set_struct(config, False)
        for key, value in values.items():
            OmegaConf.update(config, key, value, merge=False)
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}: {sentence(error)}.") from None
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items() if key != OF_MODEL}


def sentence(error: Exception) -> str:
    """The first line of an error of Hydra or OmegaConf, without its last dot."""
    return " ".join(str(error).split("\n", maxsplit=1)[0].split()).rstrip(".")

"""The entries that an experiment names: ``configs/<group>/<name>.yaml``."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bupo.data.config import DataSet
from bupo.errors import UserError
from bupo.models.config import ModelConfig
from bupo.validation import load_yaml, validated

_NAME = re.compile(r"[a-z0-9_]+")


def names_in(configs: Path, group: str) -> list[str]:
    """The names that a group holds, sorted."""
    return sorted(path.stem for path in (configs / group).glob("*.yaml"))


def group_file(configs: Path, group: str, name: str, where: str) -> Path:
    """The file of one entry.

    Args:
        configs: the project's ``configs/`` folder.
        group: ``data``, ``model``, ``algorithm``, ``settings``, ``engine``, ``analysis`` or ``evaluation``.
        name: the entry's name.
        where: file and key that named it, for the message.

    Raises:
        UserError: there is no such entry.
    """
    path = configs / group / f"{name}.yaml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise UserError(
            f"{where} = {name!r} is not known; configs/{group}/ has: {', '.join(names_in(configs, group))}."
        )
    return path


def load_entry(configs: Path, group: str, name: str | None, where: str) -> dict[str, Any]:
    """One entry as plain values; none where there is no name, as in an experiment without a grid."""
    if name is None:
        return {}
    path = group_file(configs, group, name, where)
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: the file should hold keys and values.")
    return values


def load_models(configs: Path, names: Iterable[str], where: str) -> dict[str, ModelConfig]:
    """The models that are named, validated."""
    return {
        name: validated(
            ModelConfig, load_entry(configs, "model", name, where), configs / "model" / f"{name}.yaml"
        )
        for name in dict.fromkeys(names)
    }


def load_sets(configs: Path, names: Iterable[str], where: str) -> dict[str, DataSet]:
    """The problem sets that are named, validated."""
    return {
        name: validated(DataSet, load_entry(configs, "data", name, where), configs / "data" / f"{name}.yaml")
        for name in dict.fromkeys(names)
    }

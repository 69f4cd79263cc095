"""The benchmarks of ``configs/data`` by name, as lm-eval's documents with our prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.data.config import DataSet, DataSpec
from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.evaluation.task import as_dataset, document
from bupo.files import read_json
from bupo.models.config import ModelConfig
from bupo.validation import load_yaml, validated

if TYPE_CHECKING:
    import datasets

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
"""The project's settings, where the package lies in its checkout."""


def load_named(set_name: str, grader: str = "math_verify", **metadata: Any) -> "datasets.DatasetDict":
    """A benchmark by its name in ``configs/data``, from local files or from the hub's pinned revision.

    Args:
        set_name: the file's name.
        grader: rule of the scores, ``math_verify`` or ``string``.
        metadata: what lm-eval's command line has in ``--metadata``, and the model's arguments. ``directory``:
            the folder that the set's local paths are relative to; without it the set comes from the hub.
            ``prompt``: see `prompt_name`. ``configs``: another folder of settings.

    Raises:
        UserError: there is no such set, it cannot be read, or no prompt is known for the model.
    """
    from bupo.data.normalise import normalise

    name = prompt_name(metadata)
    if name is None:
        raise UserError(
            f"no model of configs/model is {metadata.get('pretrained')!r}, so its prompt is not known; "
            f"""--metadata '{{"prompt": "NAME"}}' with one of {", ".join(PROMPTS)} would be right."""
        )
    problems, _ = normalise(data_spec(set_name, metadata.get("directory"), _configs(metadata)))
    messages = PROMPTS[name].messages
    documents = [document(one.id, messages(one.problem), one.answer, grader) for one in problems]
    return as_dataset(documents, set_name)


def data_spec(set_name: str, directory: str | None, configs: Path) -> DataSpec:
    """Where a set is read from: local files below ``directory``, or the hub without one."""
    path = configs / "data" / f"{set_name}.yaml"
    data = validated(DataSet, load_yaml(path), path)
    if directory is None and data.hub is None:
        raise UserError(
            f"{path}: the set {set_name} has no hub section; a folder with its files would be right "
            """(--metadata '{"directory": "FOLDER"}')."""
        )
    return DataSpec(set=data, source="hub" if directory is None else "local", directory=directory)


def prompt_name(metadata: Mapping[str, Any]) -> str | None:
    """How problems are put to the model that lm-eval's command line names.

    Args:
        metadata: ``prompt`` says it; else ``pretrained``, a hub id that a file of ``configs/model`` names or
            a folder with our ``model.json``.

    Returns:
        A name of `PROMPTS`, None where nothing says it.
    """
    name = metadata.get("prompt")
    if name is None:
        name = _prompt_of_model(str(metadata.get("pretrained")), _configs(metadata))
    elif name not in PROMPTS:
        raise UserError(f"prompt is {name!r}; one of {', '.join(PROMPTS)} would be right.")
    return name


def _prompt_of_model(pretrained: str, configs: Path) -> str | None:
    description = Path(pretrained) / "model.json"
    if description.is_file():
        return read_json(description)["prompt"]
    for path in sorted((configs / "model").glob("*.yaml")):
        model = validated(ModelConfig, load_yaml(path), path)
        if model.hub and model.hub.repo == pretrained:
            return model.prompt
    return None


def _configs(metadata: Mapping[str, Any]) -> Path:
    return Path(metadata.get("configs", CONFIGS))

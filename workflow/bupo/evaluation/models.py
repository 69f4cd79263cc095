"""What an evaluation is of: a model description, or a training run with its exported model."""

import json
from dataclasses import dataclass
from pathlib import Path

from bupo.errors import UserError
from bupo.files import read_json, read_yaml, sha256_text


@dataclass(frozen=True)
class EvaluatedModel:
    """A model to load.

    Attributes:
        name: of the model in the experiment.
        run: ``<model>/<cell>/seed<s>``; ``<model>/base/seed0`` for a model that is not trained.
        path: folder or hub id.
        revision: of the hub id.
        identity: changes when the weights do.
    """

    name: str
    run: str
    path: str
    revision: str | None
    identity: str


def resolve_model(argument: str | Path) -> EvaluatedModel:
    """The model behind ``--model``: a ``model.json`` or a run's folder with ``model/`` in it.

    Raises:
        UserError: if it is neither.
    """
    path = Path(argument)
    if path.is_dir() and (path / "model" / "config.json").is_file():
        return run_model(path)
    if path.is_dir() and (path / "model.json").is_file():
        path = path / "model.json"
    if path.suffix == ".json" and path.is_file():
        content = read_json(path)
        location = Path(content["path"])
        weights = weights_identity(location) if location.is_dir() else ""
        identity = sha256_text(
            f"{content['path']} {content.get('revision')} {content.get('sha256')} {weights}"
        )
        run = f"{content['name']}/base/seed0"
        return EvaluatedModel(content["name"], run, content["path"], content.get("revision"), identity)
    raise UserError(
        f"--model {argument}: a model.json, or a run's folder with model/config.json, would be right"
    )


def run_model(path: Path) -> EvaluatedModel:
    """A training run's exported model; its names come from the run's config.yaml, else from its folders."""
    _, model, cell, seed = ("", "", "", "", *path.resolve().parts)[-4:]
    config = path / "config.yaml"
    settings = (read_yaml(config) or {}).get("bupo", {}) if config.is_file() else {}
    model, cell = settings.get("model", model), settings.get("cell", cell)
    seed = f"seed{settings['seed']}" if "seed" in settings else seed
    done = path / "done.json"
    identity = trained_identity(done) if done.is_file() else weights_identity(path / "model")
    return EvaluatedModel(model, f"{model}/{cell}/{seed}", str(path / "model"), None, identity)


def trained_identity(done: Path) -> str:
    """Hash of a trained model's files, by ``done.json``; what else a run keeps is no part of the model."""
    files = read_json(done).get("files", {})
    return sha256_text(json.dumps({file: files[file] for file in sorted(files) if file.startswith("model/")}))


def weights_identity(folder: Path) -> str:
    """Hash of the names, sizes and times of a model's files (reading the weights would take minutes)."""
    rows = [
        f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in sorted(folder.iterdir()) if f.is_file()
    ]
    return sha256_text("\n".join(rows))

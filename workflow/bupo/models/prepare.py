"""Make a model ready for the later stages and describe it in ``model.json``, which is written last."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import read_json, sha256_file, sync, write_json
from bupo.models.config import BuiltModel, HubModel, LocalModel, ModelConfig, ModelSpec
from bupo.progress import Progress
from bupo.validation import load_yaml, validated

DESCRIPTION = "model.json"


def prepare(spec_file: Path, out: Path) -> dict[str, Any]:
    """Prepare the model of a spec and write ``out/model.json``.

    A model that is built lies in ``out``, too. Whenever ``model.json`` is there, the rest is whole.

    Raises:
        UserError: the spec has a mistake, or the model is not there or has other layers or positions than
            its file states.
    """
    spec = validated(ModelSpec, load_yaml(spec_file), spec_file)
    model = spec.model
    out.mkdir(parents=True, exist_ok=True)
    (out / DESCRIPTION).unlink(missing_ok=True)
    if model.built:
        found = _build(model, model.built, spec.seed, out)
    elif model.local:
        found = _describe_local(model, model.local, spec_file)
    else:
        assert model.hub
        found = _describe_hub(model, model.hub, spec_file)
    description = {"name": model.name, **found, "prompt": model.prompt}
    description["sha256"] = description.pop("sha256", {})
    write_json(out / DESCRIPTION, description)
    return description


def _build(model: ModelConfig, built: BuiltModel, seed: int, out: Path) -> dict[str, Any]:
    """Build and warm up a model; its files come into ``out`` whole, one by one."""
    import torch

    from bupo.models.architectures import random_model
    from bupo.models.tokenizer import build_tokenizer
    from bupo.models.warm_up import warm_up

    for leftover in out.glob(".building-*"):
        shutil.rmtree(leftover)
    progress = Progress(f"model {model.name}", built.warm_up.steps, "warm-up steps")
    tokenizer = build_tokenizer(built.tokenizer)
    network = random_model(built, model.layers, tokenizer, seed)
    losses = warm_up(network, tokenizer, built.warm_up, model.prompt, seed, progress)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=out) as name:
        folder = Path(name)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(
            folder / "warm_up.json",
            {
                "seed": seed,
                "threads": torch.get_num_threads(),
                **built.warm_up.model_dump(),
                "losses": losses,
            },
        )
        files = sorted(path for path in folder.iterdir() if path.is_file())
        for path in files:
            sync(path)
            path.replace(out / path.name)
    config = read_json(out / "config.json")
    return {
        "path": str(out),
        "revision": None,
        **_shape(config),
        "parameters": network.num_parameters(),
        "sha256": {path.name: sha256_file(out / path.name) for path in files},
    }


def _describe_local(model: ModelConfig, local: LocalModel, where: Path) -> dict[str, Any]:
    """Check a folder that ``save_pretrained`` wrote, and describe it."""
    folder = Path(local.path)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{where}: model.local.path = {local.path!r} has no config.json; a folder that save_pretrained "
            "wrote would be right."
        )
    config = _read_config(folder / "config.json", where)
    _check_stated(model, config, where)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{where}: model.local.path = {local.path!r} has no *.safetensors file with weights.")
    kept = [*folder.glob("*.json"), *folder.glob("*.jinja"), *folder.glob("*.txt"), *weights]
    return {
        "path": local.path,
        "revision": None,
        **_shape(config),
        "parameters": sum(_parameters(path) for path in weights),
        "sha256": {path.name: sha256_file(path) for path in sorted(kept)},
    }


def _describe_hub(model: ModelConfig, hub: HubModel, where: Path) -> dict[str, Any]:
    """Look up the commit of a hub model, check its configuration, and describe it; no weights are loaded."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        info = HfApi().model_info(hub.repo, revision=hub.revision)
        config_file = hf_hub_download(hub.repo, "config.json", revision=info.sha)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{where}: model.hub.repo = {hub.repo!r} at revision {hub.revision!r} could not be looked up: "
            f"{reason}"
        ) from None
    config = _read_config(Path(config_file), where)
    _check_stated(model, config, where)
    return {
        "path": hub.repo,
        "revision": info.sha,
        **_shape(config),
        "parameters": info.safetensors.total if info.safetensors else None,
        "sha256": {},
    }


def _read_config(path: Path, where: Path) -> dict[str, Any]:
    try:
        config = read_json(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: {path} is not JSON ({error}).") from None
    for key in ("num_hidden_layers", "hidden_size", "vocab_size"):
        if not isinstance(config, dict) or not isinstance(config.get(key), int):
            raise UserError(f"{where}: {path} has no {key}; the configuration of a decoder would be right.")
    return config


def _check_stated(model: ModelConfig, config: dict[str, Any], where: Path) -> None:
    if config["num_hidden_layers"] != model.layers:
        raise UserError(
            f"{where}: model.layers = {model.layers}, but {model.name} has "
            f"{config['num_hidden_layers']} layers."
        )
    positions = config.get("max_position_embeddings")
    if model.positions not in (None, positions):
        raise UserError(
            f"{where}: model.positions = {model.positions}, but the config.json of {model.name} has "
            f"max_position_embeddings = {positions}."
        )


def _shape(config: dict[str, Any]) -> dict[str, Any]:
    """The part of model.json that a Hugging Face configuration tells."""
    return {
        "architecture": config.get("model_type"),
        "layers": config["num_hidden_layers"],
        "hidden_size": config["hidden_size"],
        "vocab_size": config["vocab_size"],
    }


def _parameters(path: Path) -> int:
    """Number of weights in a safetensors file, from its header alone."""
    import math

    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118

"""One cell's complete configuration: the layer resolved, every verl key written out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bupo.data.prompts import PROMPTS
from bupo.errors import UserError
from bupo.experiment.composed import composed_file, filled, read_composed
from bupo.files import read_json, read_yaml, to_yaml, write_text_if_changed


def overrides_of(spec: Mapping[str, Any]) -> list[str]:
    """The Hydra overrides of a cell, the same for all cells of a method and model."""
    groups = {"algorithm": spec["method"], "settings": spec["settings"], "engine": spec["engine"]}
    return [*(f"{group}={name}" for group, name in groups.items()), *spec["overrides"]]


def values_of(spec: Mapping[str, Any], layer: int | None, model_path: str) -> dict[str, Any]:
    """What is a cell's own in its configuration, by dotted key.

    Args:
        spec: the cell's spec file.
        layer: the resolved k, counted from 1; None without an internal policy.
        model_path: where the model is loaded from.
    """
    values: dict[str, Any] = {
        "bupo.model": spec["model"],
        "bupo.cell": spec["cell"],
        "bupo.seed": spec["seed"],
        "bupo.layers": spec["layers"],
        "bupo.snapshot_every": spec["snapshot_every"],
        "actor_rollout_ref.model.path": model_path,
        "data.train_files": [spec["train_file"]],
        "data.max_prompt_length": spec["max_prompt_tokens"],
        "data.apply_chat_template_kwargs": PROMPTS[spec["prompt"]].template_options,
        "actor_rollout_ref.model.custom_chat_template": PROMPTS[spec["prompt"]].template,
        "trainer.total_training_steps": spec["steps"],
    }
    if layer is not None:
        values["bupo.layer"] = layer
    if spec["iterative_steps"] is not None:
        values["bupo.iterative_steps"] = spec["iterative_steps"]
    if spec["learning_rate"] is not None:
        values["actor_rollout_ref.actor.optim.lr"] = spec["learning_rate"]
    return values


def resolve_layer(spec: Mapping[str, Any], boundary: Path | None) -> tuple[int | None, dict[str, Any] | None]:
    """The layer a cell trains first, counted from 1, and what it rests on.

    ``auto`` is the measured boundary layer (the last layer whose FFN raises the entropy; paper, EIC pattern),
    or the experiment's stated fallback where the measurement is unclear.

    Raises:
        UserError: ``auto`` without a boundary file.
    """
    if spec["layer"] != "auto":
        return spec["layer"], None
    if boundary is None:
        raise UserError(
            f"the cell {spec['cell']} has layer = 'auto'; --boundary should name a boundary.json."
        )
    found = read_json(boundary)
    clear = found["status"] == "clear"
    evidence = {
        "requested": "auto",
        "status": found["status"],
        "boundary_layer": found["boundary_layer"],
        "fallback": spec["fallback"],
        "reason": found["reason"],
        "file": str(boundary),
    }
    return (found["boundary_layer"] if clear else spec["fallback"]), evidence


def configure(spec_file: Path, model_file: Path, boundary: Path | None, composed: Path, out: Path) -> None:
    """Write the configuration of one cell; its hash is the run's identity.

    Args:
        spec_file: the cell's spec.
        model_file: ``model.json`` of its model.
        boundary: the measured boundary layer, where the cell's layer is ``auto``.
        composed: folder of what was composed for all cells (`bupo.experiment.composed`).
        out: the file to write.

    Raises:
        UserError: a file that is missing, or a value that cannot be resolved.
    """
    spec, model = read_yaml(spec_file), read_json(model_file)
    layer, evidence = resolve_layer(spec, boundary)
    values = values_of(spec, layer, model["path"])
    values["bupo.layer_evidence"] = evidence
    values["bupo.model_sha256"] = model["sha256"]
    config = read_composed(composed_file(composed, spec["model"], spec["method"]))
    write_text_if_changed(out, to_yaml(filled(config, values, where=str(spec_file))))

"""The files that a plan leaves for its jobs: written where they change, and not while an experiment runs."""

import importlib.metadata
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bupo.errors import UserError
from bupo.experiment.composed import composed_file, filled, kept, of_text, sources_of
from bupo.experiment.configure import overrides_of, values_of
from bupo.experiment.plan import Plan
from bupo.experiment.specs import files_of, specs_of
from bupo.files import holds, read_yaml, sha256_text, to_yaml, write_text


def write_specs(plan: Plan, configs: Path) -> None:
    """Write the resolved experiment, its specs and composed configurations where they changed.

    Raises:
        UserError: a set that is not to be had from its source, or an override that Hydra cannot apply; or
            another process runs the experiment with other settings.
    """
    specs, texts = _wanted(plan, configs)
    if not (changed := _changed(texts)):
        return
    _check_overrides(plan, specs, texts, changed)
    with plan.settling():
        changed = _changed(texts)  # another call may have written meanwhile
        if changed and plan.is_running:
            raise UserError(
                f"{plan.folder}: another process is running the experiment {plan.name} with other settings, "
                f"for {changed[0]} would change; wait for it, or give the same settings."
            )
        for file in changed:
            # Not synced, for there may be thousands: the next call compares what a power cut leaves.
            write_text(file, texts[file], durable=False)


def check_written(plan: Plan, configs: Path) -> None:
    """Check that the files are still those of a plan.

    Raises:
        UserError: another call has written others since, or ``configs/`` was edited.
    """
    if changed := _changed(_wanted(plan, configs)[1]):
        raise UserError(
            f"{changed[0]}: the settings of {plan.name} changed while its jobs were planned; "
            "the same command plans them again."
        )


def _changed(texts: Mapping[Path, str]) -> list[Path]:
    return [file for file, text in texts.items() if not holds(file, text)]


def _wanted(plan: Plan, configs: Path) -> tuple[dict[str, Any], dict[Path, str]]:
    """The specs, and what each file should hold."""
    specs, resolved = specs_of(plan, configs)
    folder = Path(plan.folder)
    texts = {folder / "spec" / f"{name}.yaml": to_yaml(spec, sort_keys=True) for name, spec in specs.items()}
    texts[folder / "experiment.yaml"] = to_yaml(resolved)
    return specs, texts | _composed(plan, specs, configs)


def _composed(plan: Plan, specs: Mapping[str, Any], configs: Path) -> dict[Path, str]:
    """What is composed for each model and method; as it is where it is of the same files and overrides."""

    @cache
    def compose(*overrides: str) -> DictConfig:
        from bupo.experiment.compose import composed  # Hydra takes as long to import as all else here

        return composed(configs, overrides, where=f"experiment {plan.name}")

    training, texts = plan.experiment.training, {}
    for cell in plan.cells:
        file = composed_file(Path(plan.composed), cell.model, cell.method)
        if file in texts:
            continue
        overrides = overrides_of(specs[f"runs/{cell.run}"])
        of = [read_yaml(path) for path in files_of(configs, cell.method, training.settings, training.engine)]
        sources = sha256_text(json.dumps([overrides, of, _verl()], sort_keys=True))
        texts[file] = (
            file.read_text(encoding="utf-8")
            if sources_of(file) == sources
            else kept(compose(*overrides), sources)
        )
    return texts


def _verl() -> str | None:
    """The version of verl, whose configuration is laid below ours."""
    try:
        return importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_overrides(
    plan: Plan, specs: Mapping[str, Any], texts: Mapping[Path, str], changed: Iterable[Path]
) -> None:
    """Fill in one cell of each method that changed: a mistake in a verl key shows before anything runs."""
    checked, new = set(), set(changed)
    for cell in plan.cells:
        name, file = f"runs/{cell.run}", composed_file(Path(plan.composed), cell.model, cell.method)
        if cell.method in checked or not {Path(plan.folder) / "spec" / f"{name}.yaml", file} & new:
            continue
        checked.add(cell.method)
        spec = specs[name]
        layer = spec["fallback"] if spec["layer"] == "auto" else spec["layer"]
        values = values_of(spec, layer, model_path="model")
        filled(of_text(texts[file]), values, where=f"experiment {plan.name}")

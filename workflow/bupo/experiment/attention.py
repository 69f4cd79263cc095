"""The attention that the engine asks for, and whether what the jobs run in has it.

A training tells that it has not when it has its GPUs, for which it may have waited for days.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bupo.errors import UserError
from bupo.experiment.groups import load_entry
from bupo.experiment.plan import Plan

KEY = "actor_rollout_ref.model.override_config.attn_implementation"
PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""What attentions need beside PyTorch; no lock file has it, since it is compiled for the machine."""
PATIENCE_S = 60


@dataclass(frozen=True)
class Attention:
    """An attention that needs a package.

    Attributes:
        name: of the implementation, as transformers knows it.
        package: that it needs.
        python: the interpreter that the jobs run.
    """

    name: str
    package: str
    python: Path

    @property
    def question(self) -> list[str]:
        """A command that fails where the package cannot be imported, and says why in its last line."""
        return [str(self.python), "-c", f"import {self.package}"]

    @property
    def remedy(self) -> str:
        """What to do where it cannot."""
        installed = f"{self.python} -m pip install flash-attn --no-build-isolation"
        return f"{installed}, where CUDA's compiler is, or {KEY}=sdpa as docs/environments.md has it"


def attention_of(plan: Plan, configs: Path) -> Attention | None:
    """The attention of an experiment's trainings; None where PyTorch has it, or where a container has to.

    Args:
        plan: the experiment.
        configs: the project's ``configs/`` folder.
    """
    training = plan.experiment.training
    engine = load_entry(configs, "engine", training.engine, "training.engine")
    name = _asked(engine, training.overrides)
    if name not in PACKAGES or plan.environment.container:
        return None
    return Attention(name, PACKAGES[name], plan.environment.programs / "python")


def check_attention(plan: Plan, configs: Path) -> None:
    """Check, before jobs are submitted, that trainings have the attention that they ask for.

    Raises:
        UserError: they have not.
    """
    attention = attention_of(plan, configs)
    if attention is None:
        return
    try:
        answer = subprocess.run(attention.question, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return  # a slow disk is no reason
    if answer.returncode:
        why = (answer.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise UserError(
            f"configs/engine/{plan.experiment.training.engine}.yaml: {KEY} = {attention.name!r} needs the "
            f"package {attention.package}, which the jobs cannot import ({why}); {attention.remedy}, "
            "would be right."
        )


def _asked(engine: Mapping[str, Any], overrides: Sequence[str]) -> str | None:
    config = OmegaConf.create(dict(engine))
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        if override.key_or_group.startswith("actor_rollout_ref.model") and not override.is_delete():
            OmegaConf.update(config, override.key_or_group, override.value())
    return OmegaConf.select(config, KEY)

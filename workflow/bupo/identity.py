"""A training run's identity: which of its configuration's values decide what is trained.

How often a run is kept (``bupo.snapshot_every``, ``bupo.checkpoints``), how long it may take
(``bupo.time_limit_s``), how its nodes are reached (``bupo.cluster``), what is measured beside the training
(``bupo.observe``), what is logged and a guard that is off (``bupo.collapse``) are no part of it, since they
change nothing in the run.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from bupo.files import sha256_text

NO_IDENTITY = ("snapshot_every", "checkpoints", "time_limit_s", "cluster", "observe")
"""Keys of ``bupo`` that change nothing in what is trained."""


LOGGING = (
    "trainer.logger",
    "trainer.log_val_generations",
    "trainer.rollout_data_dir",
    "trainer.validation_data_dir",
    "actor_rollout_ref.rollout.disable_log_stats",
    "ray_kwargs.ray_init.log_to_driver",
    "ray_kwargs.ray_init.logging_level",
)
"""Keys of verl that say what is told of a run, and how loudly."""


def config_sha256(config: Mapping[str, Any]) -> str:
    """The hash of a configuration's values, whatever their order and comments in the file."""
    guarded = config["bupo"].get("collapse", {}).get("enabled", False)
    left_out = NO_IDENTITY if guarded else (*NO_IDENTITY, "collapse")
    kept = without(config, [*(f"bupo.{key}" for key in left_out), *LOGGING])
    return sha256_text(json.dumps(kept, sort_keys=True, allow_nan=False))


def without(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A copy of nested ``values`` that lacks the dotted ``keys``."""
    kept = copy.deepcopy(dict(values))
    for key in keys:
        *path, last = key.split(".")
        section: Any = kept
        for part in path:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
    return kept


def changes_nothing(override: str) -> bool:
    """Whether a Hydra override, ``key=value``, sets something that is no part of the identity of any run."""
    key = override.partition("=")[0].lstrip("+")
    # snapshots are results, which a workflow has to make
    named = [f"bupo.{name}" for name in NO_IDENTITY if name != "snapshot_every"]
    return any(key == name or key.startswith(f"{name}.") for name in (*named, *LOGGING))

"""A training run's identity: which of its configuration's values decide what is trained.

How often a run is kept (``bupo.snapshot_every``, ``bupo.checkpoints``), how long it may take
(``bupo.time_limit_s``), how its nodes are reached (``bupo.cluster``), what is measured beside the training
(``bupo.observe``) and a guard that is off (``bupo.collapse``) are no part of it, since they change nothing
in the run.
"""

import json
from typing import Any

from bupo.files import sha256_text

NO_IDENTITY = ("snapshot_every", "checkpoints", "time_limit_s", "cluster", "observe")
"""Keys of ``bupo`` that change nothing in what is trained."""


def config_sha256(config: dict[str, Any]) -> str:
    """The hash of a configuration's values, whatever their order and comments in the file."""
    guarded = config["bupo"].get("collapse", {}).get("enabled", False)
    left_out = NO_IDENTITY if guarded else (*NO_IDENTITY, "collapse")
    bupo = {key: value for key, value in config["bupo"].items() if key not in left_out}
    return sha256_text(json.dumps({**config, "bupo": bupo}, sort_keys=True, allow_nan=False))

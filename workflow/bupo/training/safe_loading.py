"""Loads nothing that could run: checkpoints hold tensors, numbers and text, or they are refused.

verl reads its checkpoints with ``torch.load(weights_only=False)``, which runs whatever a pickle says. torch
has an environment variable that overrules it, for every process of a run and every ``torch.load`` in it.
"""

import pickle
from pathlib import Path

from bupo.errors import UserError

ENVIRONMENT = {
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0",
    # verl passes batches between its own processes; without this it does so by `torch.load` of whole objects
    "VERL_DATAPROTO_SERIALIZATION_METHOD": "numpy",
}


def allow() -> None:
    """Let torch load what verl saves beside tensors: NumPy's random state, which is an array.

    torch itself allows the sharded tensors of FSDP2 where they are imported.
    """
    import numpy as np
    from torch.serialization import add_safe_globals

    array = np.zeros(1, np.uint32)
    reconstruct = array.__reduce__()[0]
    assert callable(reconstruct)
    add_safe_globals([reconstruct, np.ndarray, np.dtype, type(array.dtype)])


def code_in(checkpoint: Path) -> dict[Path, list[str]]:
    """What could run in the files of a checkpoint that torch would load, by file; none is loaded."""
    import torch.distributed.tensor  # noqa: F401  (sharded tensors are allowed)
    from torch.serialization import get_unsafe_globals_in_checkpoint

    allow()
    found = {}
    for file in sorted(checkpoint.rglob("*.pt")):
        try:
            found[file] = sorted(get_unsafe_globals_in_checkpoint(str(file)))
        except (ValueError, RuntimeError, EOFError, AssertionError, pickle.UnpicklingError):
            found[file] = ["what torch.save does not write"]
    return {file: names for file, names in found.items() if names}


def refuse_code(checkpoint: Path) -> None:
    """Make sure that every file of a checkpoint that torch would load can be loaded safely.

    Raises:
        UserError: one holds something else than tensors, numbers and text, or is no file of torch's.
    """
    for file, names in code_in(checkpoint).items():
        raise UserError(
            f"{file}: it holds {', '.join(names)}, which could run when it is loaded, and was not loaded; "
            "without this checkpoint, which should be removed, the run goes on from the one before it."
        )

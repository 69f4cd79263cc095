"""What a stage cost, as the last line of its log: wall time, processor time, GPUs.

Snakemake's own records of a Slurm job begin when it is submitted, and its benchmark files would run a
finished job again where they are not there; a line in the log does neither.
"""

import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"^\[spent\] ([\d.]+) s, ([\d.]+) s of processors, (\d+) GPUs$", re.MULTILINE)
DEVICE = re.compile(r"\d|GPU-|MIG-")
"""What the name of a GPU in CUDA_VISIBLE_DEVICES begins with; none does in -1 and NoDevFiles."""


@dataclass(frozen=True)
class Spent:
    """The cost of one call: wall and processor seconds, and the GPUs that it could see all the while."""

    wall_s: float
    core_s: float
    gpus: int


def tell_spent(began: float) -> None:
    """Print what this process and its children cost since ``began`` (of ``time.monotonic``) to stderr."""
    used = os.times()
    cores = used.user + used.system + used.children_user + used.children_system
    wall = time.monotonic() - began
    print(f"[spent] {wall:.1f} s, {cores:.1f} s of processors, {_gpus()} GPUs", file=sys.stderr, flush=True)


def read_spent(log: Path) -> Spent | None:
    """What the call that wrote a log cost; None where it does not tell.

    A process of a stage tells its own before the stage does: the last line counts.
    """
    if not log.is_file():
        return None
    found = LINE.findall(log.read_text(encoding="utf-8", errors="replace"))
    return Spent(float(found[-1][0]), float(found[-1][1]), int(found[-1][2])) if found else None


def _gpus() -> int:
    """GPUs that are this job's: by Slurm, by CUDA_VISIBLE_DEVICES, or all of the machine's."""
    each = os.environ.get("SLURM_GPUS_ON_NODE", "")
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if each.isdigit() and nodes.isdigit():
        return int(each) * int(nodes)
    # Snakemake's step in a task of an array takes those two away. CUDA's own Slurm sets for a job's GPUs, and
    # takes away from a job without.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return sum(bool(DEVICE.match(name.strip())) for name in visible.split(","))
    return 0 if "SLURM_JOB_ID" in os.environ else len(list(Path("/dev").glob("nvidia[0-9]*")))

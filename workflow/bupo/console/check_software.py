"""Checks of the environment: Python, pinned versions, our place in verl, PyTorch and its GPUs."""

import json
import math
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bupo.console.ask import Failed, ask
from bupo.console.check import Check, failed, not_applicable, not_checked, ok
from bupo.environments import is_complete, pins, place, wrong
from bupo.errors import UserError
from bupo.experiment.attention import attention_of
from bupo.experiment.plan import Plan

PYTHON = (3, 11)
NAMED = 5
IMPORT_S = 18
TORCH = "import json, torch as t; print(json.dumps([t.__version__, t.version.cuda, t.cuda.device_count()]))"


def python() -> Check:
    """The interpreter's version."""
    if sys.version_info[:2] == PYTHON:
        return ok("Python", f"{platform.python_version()} in {sys.prefix}")
    return failed(
        "Python",
        f"{platform.python_version()} should be {PYTHON[0]}.{PYTHON[1]}",
        "make clean-env env PYTHON=python3.11",
    )


def pinned(locks: Path) -> Check:
    """Whether what is installed is what a lock file names, the one that fits best.

    Args:
        locks: folder of the lock files.
    """
    found = {path: pins(path) for path in sorted(locks.glob("*.lock"))}
    if not found:
        return not_applicable("versions", f"{locks}/ has no lock file")
    path = min(found, key=lambda lock: len(wrong(found[lock])))
    differing = wrong(found[path])
    if not differing:
        return ok("versions", f"all {len(found[path])} of {path}")
    named = ", ".join(differing[:NAMED]) + (
        f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
    )
    return failed(
        "versions",
        f"{len(differing)} of the {len(found[path])} of {path} differ: {named}",
        f"make env, or {sys.executable} -m pip install --requirement {path}",
    )


def plugin() -> Check:
    """Whether verl will find our entry point; what goes wrong with it verl does not tell."""
    try:
        metadata.version("verl")
    except metadata.PackageNotFoundError:
        return not_applicable("verl", "is not installed here; machines that only submit jobs need none")
    if metadata.entry_points(group="verl.plugins", name="bupo"):
        return ok("verl", f"{metadata.version('verl')} knows the plugin bupo")
    return failed(
        "verl",
        "does not know the plugin bupo",
        f"{sys.executable} -m pip install --no-deps --editable .",
    )


def attention(plan: Plan, configs: Path, until: float = math.inf) -> list[Check]:
    """Whether the jobs can import what the engine's attention needs; nothing where PyTorch has it.

    Args:
        plan: the experiment.
        configs: the project's ``configs/`` folder.
        until: not waited for longer, see `ask`.
    """
    try:
        asked = attention_of(plan, configs)
    except UserError as error:
        return [failed("attention", str(error).rstrip("."), "mend it")]
    except OSError as error:
        found = f"what the jobs run in is not known: {error.filename} cannot be read ({error.strerror})"
        return [failed("attention", found, "run it in the project's folder")]
    if asked is None:
        return []
    needs, lock = f"{asked.name} needs the package {asked.package}", plan.environment.lock
    if plan.environment.to_be_made and not is_complete(place(lock), lock):
        remedy = f"snakemake --cores 1 environment makes it; then {asked.remedy}"
        return [not_checked("attention", f"{needs}, and the jobs' environment is not made yet", remedy)]
    answer = ask(asked.question, IMPORT_S, until=until)
    if isinstance(answer, Failed):
        return [failed("attention", f"{needs}, which jobs cannot import: {answer.why}", asked.remedy)]
    return [ok("attention", f"{needs}, which jobs can import")]


@dataclass(frozen=True)
class Devices:
    """What drives GPUs here, as far as it answers.

    Attributes:
        driver: the GPUs that nvidia-smi lists, or why it lists none.
        torch: PyTorch's version, its CUDA's and how many GPUs it sees; asked for only where there are some.
    """

    driver: list[str] | Failed
    torch: tuple[str, str | None, int] | Failed | None = None


def devices(until: float = math.inf) -> Devices:
    """Look for GPUs on this machine; no answer is waited for longer than ``until``, see `ask`."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    listed = ask(query, until=until)
    if isinstance(listed, Failed):
        return Devices(listed)
    names = [line.strip() for line in listed.splitlines() if line.strip()]
    if not names:
        return Devices(names)
    told = ask([sys.executable, "-c", TORCH], IMPORT_S, until=until)
    return Devices(names, told if isinstance(told, Failed) else tuple(json.loads(told.splitlines()[-1])))


def gpus(found: Devices, wanted: int, slurm: bool) -> Check:
    """Whether the GPUs are enough and PyTorch sees them.

    Args:
        found: of this machine.
        wanted: of one job of the experiment.
        slurm: whether jobs go to Slurm's nodes, which have checks of their own.
    """
    if isinstance(found.driver, Failed) or not found.driver:
        if wanted == 0:
            return not_applicable("GPUs", "none here, and the experiment runs on the CPU")
        if slurm:
            return not_applicable("GPUs", f"none here; jobs that need {wanted} go to Slurm's nodes")
        why = found.driver.why if isinstance(found.driver, Failed) else "nvidia-smi lists none"
        return failed(
            "GPUs",
            f"none ({why}), and a job of the experiment needs {wanted}",
            "run on a machine with GPUs or through Slurm, or set training.engine=cpu for a tiny model",
        )
    shown = f"{len(found.driver)} ({found.driver[0]})"
    if isinstance(found.torch, Failed) or found.torch is None:
        why = found.torch.why if found.torch else "it was not asked"
        return failed("GPUs", f"{shown}, but PyTorch cannot say what it sees: {why}", "make env")
    version, cuda, seen = found.torch
    if seen < len(found.driver):
        return failed(
            "GPUs",
            f"{shown}, of which PyTorch {version} sees {seen}",
            "install a PyTorch with CUDA"
            if cuda is None
            else "look at CUDA_VISIBLE_DEVICES and at the driver",
        )
    if seen < wanted and not slurm:
        return failed(
            "GPUs",
            f"{shown}, and a job of the experiment needs {wanted}",
            f"trainer.n_gpus_per_node={seen} in training.overrides, or a machine with more",
        )
    return ok("GPUs", f"{shown}, PyTorch {version} with CUDA {cuda}")

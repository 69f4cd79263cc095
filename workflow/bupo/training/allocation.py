"""The nodes of a run on several nodes: those of the Slurm job, or those that the configuration names."""

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from bupo.errors import UserError
from bupo.training.slurm_job import JOB_ID, nodes_of_job
from bupo.validation import Strict, validated

SRUN = "srun --overlap --nodes=1 --ntasks=1 --cpu-bind=none --nodelist={node} {command}"
"""A step of the job on one of its nodes, with all that the job has there."""
RESOURCES = ("num_cpus", "num_gpus", "object_store_memory")
"""Keys of ``ray_kwargs.ray_init`` that hold for each node."""


class ClusterSettings(Strict):
    """``bupo.cluster``.

    Attributes:
        nodes: names or IPv4 addresses, this machine first; None takes the Slurm job's.
        launcher: command that runs ``{command}`` on ``{node}``, with its stdin, and ends it when stdin ends.
        interface: network interface between the nodes, such as ``ib0``; None takes the one that reaches them.
        wait_s: how long the nodes may take to join, in seconds.
    """

    nodes: list[str] | None = None
    launcher: str | None = None
    interface: str | None = None
    wait_s: float = Field(default=300, gt=0)


@dataclass(frozen=True)
class Allocation:
    """Where a run takes place.

    Attributes:
        here: name of this machine.
        others: names of the other nodes.
        launcher: command with ``{node}`` and ``{command}``.
        settings: the configuration's.
        resources: of each node, as options of ``ray start``.
    """

    here: str
    others: tuple[str, ...]
    launcher: str
    settings: ClusterSettings
    resources: dict[str, int]

    def command(self, node: str, command: list[str]) -> list[str]:
        """The words that run ``command`` on ``node``."""
        words = [word.replace("{node}", node) for word in shlex.split(self.launcher)]
        place = words.index("{command}")
        return [*words[:place], *command, *words[place + 1 :]]


def find_allocation(config: Mapping[str, Any], where: str) -> Allocation:
    """The nodes of a run with ``trainer.nnodes`` > 1, checked as far as it can be from here.

    Args:
        config: the whole configuration, plain.
        where: its file, for messages.

    Raises:
        UserError: there are other nodes than asked for, or no way to them.
    """
    wanted = config["trainer"]["nnodes"]
    settings = validated(ClusterSettings, config["bupo"].get("cluster") or {}, f"{where}: bupo.cluster")
    if settings.nodes is not None:
        nodes, source = list(settings.nodes), "bupo.cluster.nodes"
        here = nodes[0] if nodes else ""
    elif JOB_ID in os.environ:
        nodes, source = _slurm_nodes(where), "the Slurm job"
        here = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    else:
        raise UserError(
            f"{where}: trainer.nnodes = {wanted}, but this is no Slurm job; bupo.cluster.nodes should name "
            "the nodes."
        )
    if len(set(nodes)) != wanted:
        raise UserError(
            f"{where}: trainer.nnodes = {wanted}, but {source} has {len(set(nodes))}: {', '.join(nodes)}."
        )
    if here not in nodes:
        raise UserError(
            f"{where}: this machine, {here}, is none of the nodes of {source}: {', '.join(nodes)}."
        )
    if settings.nodes is not None and not _is_here(here):
        raise UserError(
            f"{where}: bupo.cluster.nodes should name this machine, {socket.gethostname()}, first, "
            f"and not {here}."
        )
    launcher = settings.launcher or (SRUN if JOB_ID in os.environ else "")
    _check_launcher(launcher, where)
    others = tuple(node for node in nodes if node != here)
    return Allocation(here, others, launcher, settings, _resources(config, where))


def _slurm_nodes(where: str) -> list[str]:
    nodelist = nodes_of_job()
    try:
        result = subprocess.run(
            ["scontrol", "show", "hostnames", nodelist], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"{where}: scontrol does not say which nodes the Slurm job's, {nodelist!r}, are ({error})."
        ) from error
    return result.stdout.split()


def _is_here(node: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((node, 0))
        except OSError:
            return False
    return True


def _check_launcher(launcher: str, where: str) -> None:
    try:
        words = shlex.split(launcher)
    except ValueError:
        words = []
    if "{command}" not in words or shutil.which(words[0].replace("{command}", "true")) is None:
        raise UserError(
            f"{where}: bupo.cluster.launcher = {launcher or None!r} should be a command such as "
            "'ssh {node} {command}'."
        )


def _resources(config: Mapping[str, Any], where: str) -> dict[str, int]:
    given = {key: value for key, value in config["ray_kwargs"]["ray_init"].items() if value is not None}
    given.pop("runtime_env", None)
    if unknown := sorted(set(given) - set(RESOURCES)):
        raise UserError(
            f"{where}: ray_kwargs.ray_init.{unknown[0]} is not known for several nodes; those are "
            f"{', '.join(RESOURCES)}."
        )
    return given

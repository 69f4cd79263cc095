"""A Ray of a run's own over several nodes: started by the run, and gone with it."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from bupo.errors import UserError
from bupo.progress import Progress
from bupo.training.allocation import Allocation, find_allocation
from bupo.training.node_orders import Orders, passed_on
from bupo.training.node_process import NodeProcess

COMMAND = [sys.executable, "-m", "bupo.training.ray_node"]
LOST = signal.SIGRTMIN + 1
"""Sent to the main thread when a node leaves: waiting for Ray can be interrupted as by Ctrl-C."""
GRACE_S = 10
"""How long after an error of Ray a node may take to say that it is gone, in seconds."""


@contextmanager
def ray_of_nodes(config: dict[str, Any], out: Path, where: str, console: TextIO) -> Iterator[None]:
    """Start Ray on all nodes of the run and connect to it; afterwards nothing of it is left.

    Args:
        config: the whole configuration, plain.
        out: the run's folder, which all nodes see.
        where: the configuration's file, for messages.
        console: where progress is shown.

    Raises:
        UserError: a node does not join, or has fewer GPUs than the run needs.
        RuntimeError: a node left while the run went on.
    """
    import ray

    allocation = find_allocation(config, where)
    nodes: list[NodeProcess] = []
    try:
        _start(allocation, config, out, nodes)
        address = nodes[0].told["gcs"]
        ray.init(address=address, _node_ip_address=address.rpartition(":")[0])
        _wait_for_all(nodes, allocation.settings.wait_s, console)
        _check_gpus(config)
        with _watched(nodes):
            yield
    finally:
        ray.shutdown()
        for node in reversed(nodes):
            node.release()
        for node in nodes:
            node.end()


@contextmanager
def _watched(nodes: list[NodeProcess]) -> Iterator[None]:
    """End what the main thread does inside when a node leaves; Ray alone might wait for ever."""
    import ray

    over, main = threading.Event(), threading.get_ident()

    def watch() -> None:
        while not over.wait(1):
            if any(node.ended for node in nodes):
                signal.pthread_kill(main, LOST)
                return

    before = signal.signal(LOST, signal.default_int_handler)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except BaseException as error:
        until = time.monotonic() + (GRACE_S if isinstance(error, ray.exceptions.RayError) else 0)
        while not (gone := [why for node in nodes if (why := node.ended)]) and time.monotonic() < until:
            time.sleep(0.2)
        if gone:
            raise RuntimeError(" ".join(gone)) from error
        raise
    finally:
        over.set()
        watcher.join()
        signal.signal(LOST, before)


def _start(allocation: Allocation, config: dict[str, Any], out: Path, nodes: list[NodeProcess]) -> None:
    orders = {
        "token": os.environ["RAY_AUTH_TOKEN"],
        "out": str(out),
        "cwd": str(Path.cwd()),
        "device": config["trainer"]["device"],
        "interface": allocation.settings.interface,
        "resources": allocation.resources,
        "environment": passed_on(os.environ),
    }
    here = allocation.here
    nodes.append(
        NodeProcess(here, COMMAND, Orders(node=here, towards=allocation.others[0], gcs=None, **orders))
    )
    until = time.monotonic() + allocation.settings.wait_s
    while not _answers(nodes[0].told.get("gcs")):
        if why := nodes[0].ended:
            raise UserError(why)
        if time.monotonic() > until:
            raise UserError(_too_late(here, allocation.settings.wait_s))
        time.sleep(0.1)
    gcs = nodes[0].told["gcs"]
    for name in allocation.others:
        command = allocation.command(name, COMMAND)
        nodes.append(
            NodeProcess(name, command, Orders(node=name, towards=gcs.split(":")[0], gcs=gcs, **orders))
        )


def _answers(address: str | None) -> bool:
    if address is None:
        return False
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _too_late(names: str, wait_s: float) -> str:
    return f"After {wait_s:g} s (bupo.cluster.wait_s) this node has not joined: {names}."


def _wait_for_all(nodes: list[NodeProcess], wait_s: float, console: TextIO) -> None:
    import ray

    progress = Progress("nodes", len(nodes), "joined", stream=console)
    until = time.monotonic() + wait_s
    while True:
        joined = {node["NodeName"] for node in ray.nodes() if node["Alive"]}
        missing = [node for node in nodes if node.name not in joined]
        names = ", ".join(node.name for node in missing)
        progress.update(len(nodes) - len(missing), f"waiting for {names}" if missing else "")
        if not missing:
            return
        for node in missing:
            if why := node.ended:
                raise UserError(why)
        if time.monotonic() > until:
            raise UserError(_too_late(names, wait_s))
        time.sleep(0.2)


def _check_gpus(config: dict[str, Any]) -> None:
    import ray

    wanted = config["trainer"]["n_gpus_per_node"]
    for node in ray.nodes():
        found = int(node["Resources"].get("GPU", 0))
        if found < wanted:
            raise UserError(
                f"Node {node['NodeName']} has {found} GPU(s), fewer than trainer.n_gpus_per_node = {wanted}."
            )

"""``python -m bupo.training.ray_node``: the part of a run's Ray that is on one node.

`bupo.training.ray_cluster` starts it on every node. Its orders are one line of JSON on stdin, since any user
of the node can read a command line and the orders hold the password. Afterwards it waits for the end of
stdin, which comes when the training process is gone, however it went: srun, ssh and pipes all pass it on.
Then it kills all that Ray started here. Signals end neither it nor Ray: Slurm sends them to every process of
a job, and the training process may still have a step to finish and a checkpoint to save.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.training.launch import environment, ray_environment, scratch_folder
from bupo.training.network import Ports, claimed_ports, interface_of, own_address
from bupo.training.node_orders import Orders, tell

BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


def main() -> int:
    """Run Ray on this node until stdin ends; 1 where it ended before."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)  # what Ray starts here inherits it
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)  # what loses its parent here stays in our reach
    line = sys.stdin.readline()
    if not line:
        return 0
    orders = Orders.from_line(line)
    over = threading.Event()
    threading.Thread(target=_until_stdin_ends, args=(over,), daemon=True).start()
    try:
        return _run(orders, over)
    except UserError as error:
        tell(error=str(error))
        return 1


def _until_stdin_ends(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def _run(orders: Orders, over: threading.Event) -> int:
    if not Path(orders.out).is_dir():
        raise UserError(f"node {orders.node} does not see {orders.out}, which should be on a shared disk.")
    with suppress(OSError):
        os.chdir(orders.cwd)
    address = own_address(orders.node, orders.towards, orders.interface)
    with (
        scratch_folder(Path(orders.out) / orders.node, sockets=True) as scratch,
        claimed_ports() as ports,
    ):
        ray = subprocess.Popen(
            ray_start(orders, address, ports, scratch),
            env=node_environment(orders, interface_of(address), ports, scratch),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )
        if orders.gcs is None:
            tell(gcs=f"{address}:{ports.of('gcs')}")
        try:
            while ray.poll() is None and not over.wait(0.2):
                pass
        finally:
            failed = ray.poll()
            kill_all(ray)
    if failed is not None and not over.is_set():
        raise UserError(f"Ray on node {orders.node} ended with status {failed}; log.txt has what it said.")
    return 0


def node_environment(orders: Orders, interface: str, ports: Ports, scratch: Path) -> dict[str, str]:
    """Environment of Ray and of the training on this node; a ``NCCL_SOCKET_IFNAME`` of the user stays."""
    return {
        "NCCL_SOCKET_IFNAME": f"={interface}",
        **os.environ,
        **orders.environment,
        **environment(orders.device, scratch),
        **ray_environment(scratch),
        "DASHBOARD_METRIC_PORT": str(ports.of("dashboard_metrics")),
        "GLOO_SOCKET_IFNAME": interface,
        "RAY_AUTH_TOKEN": orders.token,
        "RAY_START_HOOK": "bupo.training.ray_node.no_client",
    }


def no_client(ray_params: Any, head: bool) -> None:
    """Without the server for remote clients, which ``ray start`` has no option to leave out."""
    ray_params.ray_client_server_port = None


def ray_start(orders: Orders, address: str, ports: Ports, scratch: Path) -> list[str]:
    """The command that starts Ray here: every port said, no dashboard, and in the foreground."""
    lowest, highest = ports.workers
    options: dict[str, object] = {
        "node-ip-address": address,
        "node-name": orders.node,
        "temp-dir": scratch / "ray",
        "node-manager-port": ports.of("node_manager"),
        "object-manager-port": ports.of("object_manager"),
        "runtime-env-agent-port": ports.of("runtime_env_agent"),
        "dashboard-agent-listen-port": ports.of("agent"),
        "dashboard-agent-grpc-port": ports.of("agent_grpc"),
        "metrics-export-port": ports.of("metrics"),
        "min-worker-port": lowest,
        "max-worker-port": highest,
        **{name.replace("_", "-"): value for name, value in orders.resources.items()},
    }
    if orders.gcs is None:
        options |= {"port": ports.of("gcs"), "include-dashboard": "false"}
        kind = ["--head", "--no-monitor"]
    else:
        options["address"] = orders.gcs
        kind = []
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *kind, *words]


def kill_all(ray: subprocess.Popen[bytes]) -> None:
    """End Ray and every process that it started, also those that left its session.

    Not kindly: SIGTERM is blocked in all of them.
    """
    import psutil

    ray.kill()
    ray.wait()
    for _ in range(20):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=1)


if __name__ == "__main__":
    sys.exit(main())

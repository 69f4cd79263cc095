"""MLflow's own server over a sqlite file or a PostgreSQL database, for this machine unless told otherwise."""

import ipaddress
import os
import socket
import sys
from pathlib import Path

from bupo.errors import UserError
from bupo.tracking.address import DATABASE, SQLITE, redacted, refuse_password
from bupo.tracking.store import open_store, quiet_mlflow

LOOPBACK = "127.0.0.1"


def serve(store: str, artifacts: Path | None, host: str, port: int) -> None:
    """Become MLflow's server; does not return.

    The store's address goes by the environment, where `ps` does not show it. libpq takes a password from
    PGPASSWORD or ~/.pgpass.

    Args:
        store: ``sqlite:///...``, created where it is missing, or ``postgresql://user@host/database``.
        artifacts: folder of the artifacts; by default beside a sqlite file, or results/mlflow/artifacts.
        host: the address to listen on.
        port: the port to listen on.

    Raises:
        UserError: the address holds a password or is of another kind, or the port is taken.
    """
    refuse_password(store)
    if store.startswith(SQLITE):
        with open_store(store):
            path = Path(store.removeprefix(SQLITE)).absolute()
        store, artifacts = f"{SQLITE}{path}", artifacts or path.parent / "artifacts"
    elif not store.startswith(DATABASE):
        raise UserError(
            f"--store {store} is no database; it should be like sqlite:///results/mlflow/mlflow.db or "
            "postgresql://user@host/database."
        )
    folder = (artifacts or Path("results/mlflow/artifacts")).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    _check_free(host, port)
    if not is_loopback(host):
        print(
            f"warning: whoever reaches {host}:{port} can read, change and delete every run; "
            "an SSH tunnel to a server on 127.0.0.1 lets in only who may log in",
            file=sys.stderr,
        )
    quiet_mlflow()
    print(f"MLflow on http://{_named(host)}:{port}, store {redacted(store)}, artifacts {folder}", flush=True)
    os.execve(sys.executable, [sys.executable, *command(store, folder, host, port)], environment(store))


def command(store: str, folder: Path, host: str, port: int) -> list[str]:
    """Arguments of Python for MLflow's server."""
    # Several workers would only lock each other out of one sqlite file.
    workers = 1 if store.startswith(SQLITE) else 4
    named = [] if is_loopback(host) else ["--allowed-hosts", ",".join(allowed_hosts(host, port))]
    return [
        *("-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", str(workers)),
        *("--serve-artifacts", "--artifacts-destination", folder.as_uri()),
        *named,
    ]


def environment(store: str) -> dict[str, str]:
    """The server's environment: the store, and none of MLflow's services that call others or run jobs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    secrets = {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_FLASK_")}
    return {
        **kept,
        **secrets,
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def allowed_hosts(host: str, port: int) -> list[str]:
    """Names under which a server that others reach may be asked: MLflow refuses those it does not know."""
    names = [host, socket.gethostname(), socket.getfqdn()]
    return list(dict.fromkeys(["localhost:*", "127.0.0.1:*", *(f"{name}:{port}" for name in names)]))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _named(host: str) -> str:
    return socket.getfqdn() if host in ("0.0.0.0", "::") else host


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UserError(
            f"--host {host} --port {port} cannot be listened on ({error.strerror}); another port, like "
            f"--port {port + 1}, may be free."
        ) from None

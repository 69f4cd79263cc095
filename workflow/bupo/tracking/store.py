"""The MLflow store: a sqlite database that is created whole or not at all, whoever comes first.

Eight processes that open a fresh sqlite database at once through MLflow alone collide in its schema
migrations. Here the first to hold the lock migrates a temporary file and renames it; the others find it
finished. The lock is a kernel file lock, so that a killed process leaves nothing to clean up.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock, Timeout

from bupo.errors import UserError
from bupo.files import sync
from bupo.tracking.address import SQLITE, database_path

if TYPE_CHECKING:
    from sqlite3 import Connection

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

LOCK_TIMEOUT_S = 300.0
ATTEMPTS, PAUSE_S = 3, 2.0
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""MLflow's own limits would keep a process waiting for minutes at a server that is not there."""

Result = TypeVar("Result")


class Away(UserError):
    """The tracking cannot be reached now."""


@contextmanager
def open_store(uri: str) -> Iterator["MlflowClient"]:
    """Yield a client of the store at ``uri``, creating the sqlite database first where there is none.

    Writers of one sqlite database in this package take turns by a lock file beside it: finding a run and
    creating it is then one step, and dozens of processes do not wait into sqlite's own time limit. (Its
    write-ahead log would not help: it does not work on the network file systems of clusters.)

    Raises:
        UserError: the address is not known, or another process has kept the lock for minutes.
    """
    path = database_path(uri)
    if path is None:
        yield _client(uri)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _turn(path):
        if not path.exists():
            _create(path)
        yield _client(f"{SQLITE}{path}")


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    lock = FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{path}: another process has been writing for {LOCK_TIMEOUT_S:.0f} s; "
            f"`fuser {path}.lock` names it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def with_store(uri: str, work: "Callable[[MlflowClient], Result]") -> Result:
    """Do ``work`` with the store at ``uri``; once more, after a pause, where it was busy or away.

    Args:
        uri: the store's address.
        work: changes nothing when it is done twice.

    Raises:
        Away: the store still is busy or away after the last attempt.
    """
    quiet_mlflow()
    from mlflow.exceptions import MlflowException

    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open_store(uri) as client:
                return work(client)
        except MlflowException as error:
            if not _passing(error):
                raise
            told = str(error).strip().splitlines()[0][:200]
        time.sleep(PAUSE_S * attempt)
    raise Away(f"{uri}: the tracking cannot be reached: {told}")


def _passing(error: "MlflowException") -> bool:
    """Whether an error may be gone a little later: no connection, a busy server, a locked database."""
    text = str(error)
    return (
        text.startswith("API request to")
        or "database is locked" in text
        or error.get_http_status_code() in (429, 502, 503, 504)
    )


def quiet_mlflow() -> None:
    """Keep MLflow from sending usage data, telling of each migration, and waiting long; before the import."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _client(uri: str) -> "MlflowClient":
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _create(path: Path) -> None:
    """Migrate a temporary database to MLflow's present schema and rename it to ``path``."""
    quiet_mlflow()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import Engine, event

    quiet_mlflow()
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    # Dozens of migrations, each synced to the disk, take seconds; the file is synced once, when it is whole.
    event.listen(Engine, "connect", _without_sync)
    try:
        store = SqlAlchemyStore(f"{SQLITE}{temporary}", (path.parent / "artifacts").as_uri())
        store.engine.dispose()
    finally:
        event.remove(Engine, "connect", _without_sync)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def _without_sync(connection: "Connection", _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")

"""The MLflow store: a sqlite database that is created whole or not at all, whoever comes first.

Eight processes that open a fresh sqlite database at once through MLflow alone collide in its schema
migrations. Here the first to hold the lock migrates a temporary file and renames it; the others find it
finished. The lock is a kernel file lock, so that a killed process leaves nothing to clean up.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from bupo.errors import UserError
from bupo.files import sync

if TYPE_CHECKING:
    from sqlite3 import Connection

    from mlflow import MlflowClient

SQLITE = "sqlite:///"
LOCK_TIMEOUT_S = 300.0
SCHEMES = (SQLITE, "http://", "https://", "postgresql", "mysql", "mssql")


def database_path(uri: str) -> Path | None:
    """The file of a sqlite URI, absolute; None for a server.

    Raises:
        UserError: an address that is none of sqlite, a tracking server or a database server.
    """
    if not uri.startswith(SCHEMES):
        raise UserError(
            f"the tracking address {uri!r} is not known; it should be like "
            "sqlite:///results/mlflow/mlflow.db or http://127.0.0.1:5000."
        )
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def absolute_uri(uri: str) -> str:
    """``uri`` with the path of a sqlite file made absolute, for processes with another working directory."""
    path = database_path(uri)
    return uri if path is None else f"{SQLITE}{path}"


@contextmanager
def open_store(uri: str) -> Iterator["MlflowClient"]:
    """Yield a client of the store at ``uri``, creating the sqlite database first where there is none.

    Writers of one sqlite database in this package take turns by a lock file beside it: finding a run and
    creating it is then one step, and no writer ever waits into sqlite's own time limit.
    """
    path = database_path(uri)
    if path is None:
        yield _client(uri)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S):
        if not path.exists():
            _create(path)
        yield _client(f"{SQLITE}{path}")


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where an MLflow experiment's artifacts go: beside a sqlite database; a server decides for itself."""
    path = database_path(uri)
    return None if path is None else (path.parent / "artifacts" / experiment).as_uri()


def quiet_mlflow() -> None:
    """Keep MLflow from sending usage data and from telling of each migration; call it before the import."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
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

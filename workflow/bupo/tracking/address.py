"""Addresses of the tracking: a sqlite file, or a server; never with a password in them.

An address is written into files, logs and the report, so that a password in it would be in all of them.
"""

from pathlib import Path
from urllib.parse import urlsplit

from bupo.errors import UserError

SQLITE = "sqlite:///"
SERVERS = ("http", "https")
DATABASE = "postgresql"


def database_path(uri: str) -> Path | None:
    """The file of a sqlite address, absolute; None for a tracking server.

    Raises:
        UserError: an address that is neither, or one with a password.
    """
    refuse_password(uri)
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE)).absolute()
    scheme = uri.partition("://")[0]
    if scheme.startswith(DATABASE):
        raise UserError(
            f"the tracking address {uri!r} is a database; `python -m bupo.tracking serve --store {uri}` "
            "starts a server on it, whose address, like http://127.0.0.1:5000, should stand here."
        )
    if scheme not in SERVERS or not urlsplit(uri).netloc:
        raise UserError(
            f"the tracking address {uri!r} is not known; it should be like "
            "sqlite:///results/mlflow/mlflow.db or http://127.0.0.1:5000."
        )
    return None


def refuse_password(uri: str) -> None:
    """Refuse an address that holds a password.

    Raises:
        UserError: it does; the message has stars in its place.
    """
    if uri == redacted(uri):
        return
    instead = (
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        if uri.startswith(SERVERS)
        else "PGPASSWORD or ~/.pgpass"
    )
    raise UserError(
        f"the tracking address {redacted(uri)!r} holds a password, which would be in every log; it should be "
        f"in {instead} instead."
    )


def redacted(uri: str) -> str:
    """``uri`` with stars for a password, also where it stands in the query as libpq allows."""
    parts = urlsplit(uri)
    user, colon, _ = parts.netloc.rpartition("@")[0].partition(":")
    if colon:
        parts = parts._replace(netloc=f"{user}:***@{parts.netloc.rpartition('@')[2]}")
    pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
    hidden = [(key, sign, "***" if "password" in key.lower() else value) for key, sign, value in pairs]
    if hidden != pairs:
        parts = parts._replace(query="&".join("".join(pair) for pair in hidden))
    return uri if parts == urlsplit(uri) else parts.geturl()


def absolute_uri(uri: str) -> str:
    """``uri`` with the path of a sqlite file made absolute, for processes with another working directory."""
    path = database_path(uri)
    return uri if path is None else f"{SQLITE}{path}"


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where an MLflow experiment's artifacts go: beside a sqlite database; a server decides for itself."""
    path = database_path(uri)
    return None if path is None else (path.parent / "artifacts" / experiment).as_uri()

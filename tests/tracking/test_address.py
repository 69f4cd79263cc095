"""Addresses of the tracking: what is taken, and that no password is ever shown."""

import pytest

from bupo.errors import UserError
from bupo.tracking.address import absolute_uri, database_path, redacted
from bupo.tracking.serve import allowed_hosts, command, environment, is_loopback, serve


def test_relative_addresses_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///a/b.db") == f"sqlite:///{tmp_path}/a/b.db"
    assert absolute_uri("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
    assert database_path("https://mlflow.example.org") is None


@pytest.mark.parametrize("uri", ["mlflow.db", "ftp://x", "http://", "mysql://host/db", "https:/host"])
def test_unknown_addresses_are_refused(uri):
    with pytest.raises(UserError, match="is not known; it should be like"):
        database_path(uri)


def test_a_database_is_no_tracking_server():
    with pytest.raises(UserError, match=r"serve --store postgresql://me@host/db. starts a server on it"):
        database_path("postgresql://me@host/db")


PASSWORDS = {
    "postgresql://me:s3cret@host/db": "postgresql://me:***@host/db",
    "postgresql+psycopg2://me:s3cr%40t@host:5432/db": "postgresql+psycopg2://me:***@host:5432/db",
    "postgresql://host/db?user=me&password=s3cret&connect_timeout=3": (
        "postgresql://host/db?user=me&password=***&connect_timeout=3"
    ),
    "http://me:s3cret@127.0.0.1:5000": "http://me:***@127.0.0.1:5000",
}


@pytest.mark.parametrize(("uri", "shown"), PASSWORDS.items())
def test_passwords_are_refused_and_not_shown(uri, shown, tmp_path):
    assert redacted(uri) == shown and redacted(shown) == shown
    for call in (lambda: database_path(uri), lambda: serve(uri, tmp_path, "127.0.0.1", 5000)):
        with pytest.raises(UserError) as error:
            call()
        assert shown in str(error.value) and "s3cr" not in str(error.value)
        assert ("MLFLOW_TRACKING_PASSWORD" if uri.startswith("http") else "PGPASSWORD") in str(error.value)


def test_addresses_without_a_password_stay_as_they_are():
    for uri in ("sqlite:///a b/c.db", "http://127.0.0.1:5000/", "postgresql://me@host/db?sslmode=require"):
        assert redacted(uri) == uri


def test_a_password_in_the_settings_is_refused_before_it_is_written(tmp_path, root):
    from bupo.experiment.resolve import resolve

    config = {
        "experiment": "demo",
        "results": str(tmp_path / "results"),
        "mlflow": "http://me:s3cret@127.0.0.1:5000",
    }
    with pytest.raises(UserError, match=r"me:\*\*\*@127") as error:
        resolve(config, root / "configs")
    assert "s3cret" not in str(error.value) and not (tmp_path / "results").exists()


def test_a_server_is_for_this_machine_unless_told(tmp_path):
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "10.0.0.1", "::", "login1"))
    own = command("sqlite:///x.db", tmp_path, "127.0.0.1", 5000)
    assert own[own.index("--host") + 1] == "127.0.0.1" and "--allowed-hosts" not in own
    others = command("postgresql://me@host/db", tmp_path, "login1", 5000)
    assert "login1:5000" in others[others.index("--allowed-hosts") + 1].split(",")
    assert not any("me@host" in argument for argument in others), "ps would show the store's address"
    assert allowed_hosts("login1", 5000)[:3] == ["localhost:*", "127.0.0.1:*", "login1:5000"]


def test_the_servers_environment_is_what_our_command_says(monkeypatch):
    monkeypatch.setenv("MLFLOW_HOST", "0.0.0.0")
    monkeypatch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    made = environment("postgresql://me@host/db")
    assert {key for key in made if key.startswith("MLFLOW_")} == {
        "MLFLOW_BACKEND_STORE_URI",
        "MLFLOW_DISABLE_TELEMETRY",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    }
    assert made["PGPASSWORD"] == "s3cret"


def test_a_taken_port_is_told(tmp_path):
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf"--port {port} cannot be listened on .*--port {port + 1}"):
            serve("postgresql://me@host/db", tmp_path, "127.0.0.1", port)

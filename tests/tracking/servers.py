"""Real servers of the tests: MLflow's by our own command, and PostgreSQL in a folder that is thrown away."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "s3cret-of-the-test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`python -m bupo.tracking serve`, which can be killed and started again on the same port."""

    def __init__(self, store: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.store, self.folder, self.environment = store, folder, environment or {}
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "bupo.tracking", "serve", "--store", self.store),
                    *("--artifacts", str(self.folder / "artifacts"), "--port", str(self.port)),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None


@contextmanager
def running(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, where they are installed and can be run by an ordinary user."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(shutil.which("initdb") or "/").parent]
    found = [place for place in places if (place / "initdb").exists()]
    may = os.getuid() != 0 or (shutil.which("runuser") and _has_user("postgres"))
    return found[-1] if found and may else None


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A fresh PostgreSQL on 127.0.0.1 whose user `mlflow` has a password; yields the address without it."""
    # not pytest's folder, which the user postgres may not enter
    folder = Path(tempfile.mkdtemp(prefix="bupo-postgres-"))
    (folder / "password").write_text(PASSWORD)
    as_user = []
    if os.getuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    port, data = free_port(), folder / "data"

    def call(*arguments: str) -> None:
        subprocess.run([*as_user, *arguments], check=True, capture_output=True, cwd=folder)

    try:
        call(
            *(str(programs / "initdb"), "-D", str(data), "-U", "mlflow", "--auth=scram-sha-256"),
            *(f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"),
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        call(
            str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start"
        )
        try:
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
        finally:
            call(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_user(name: str) -> bool:
    import pwd

    return name in {entry.pw_name for entry in pwd.getpwall()}

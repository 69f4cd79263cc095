"""The Slurm of the tests as they see it: one at a time, in the configuration that is asked for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import missing
from configuration import foreign

PACKAGES = ("slurm-wlm", "munge")
ACCOUNTING_PACKAGES = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")


class Slurm:
    """Keeps a process that keeps a cluster, see `cluster`; the cluster ends with it, however that ends.

    Args:
        new_folder: makes one for a cluster.
    """

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self.new_folder = new_folder
        self.holder: subprocess.Popen[str] | None = None
        self.accounting = False

    def use(self, accounting: bool = False) -> None:
        """Start it, unless one with this configuration runs; skip the test where that cannot be."""
        if self.holder is not None and self.accounting == accounting:
            return
        if os.getuid():
            pytest.skip("only root starts a Slurm of its own")
        if file := foreign():
            pytest.skip(f"{file} belongs to another cluster, which the tests leave alone")
        packages = PACKAGES + ACCOUNTING_PACKAGES if accounting else PACKAGES
        if missing(accounting) and os.environ.get("BUPO_INSTALL_SLURM") == "1" and shutil.which("apt-get"):
            install(packages)
        if names := missing(accounting):
            listed = ", ".join(packages)
            pytest.skip(
                f"{', '.join(names)} not found (Debian's {listed}; BUPO_INSTALL_SLURM=1 installs them)"
            )
        self.stop()
        self.holder = subprocess.Popen(
            [
                *(sys.executable, str(Path(__file__).with_name("cluster.py")), str(self.new_folder())),
                *(["accounting"] if accounting else []),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.accounting = accounting
        self._expect("ready")

    def stop(self) -> None:
        if self.holder is None:
            return
        assert self.holder.stdin
        holder, self.holder = self.holder, None
        holder.stdin.close()
        assert holder.wait(120) == 0

    @contextmanager
    def away(self) -> Iterator[None]:
        """No slurmctld meanwhile: jobs run on, and nobody gets an answer."""
        self._tell("stop")
        try:
            yield
        finally:
            self._tell("start")

    def _tell(self, word: str) -> None:
        assert self.holder and self.holder.stdin
        self.holder.stdin.write(f"{word}\n")
        self.holder.stdin.flush()
        self._expect("done")

    def _expect(self, word: str) -> None:
        assert self.holder and self.holder.stdout
        assert self.holder.stdout.readline() == f"{word}\n", "the Slurm of the tests ended"


def install(packages: tuple[str, ...]) -> None:
    """Install what is missing; where that fails, it is missing still."""
    print(f"BUPO_INSTALL_SLURM=1: installing Debian's {', '.join(packages)}", file=sys.__stderr__, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "--quiet", *arguments], env=environment, stdout=sys.__stderr__)

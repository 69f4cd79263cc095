"""Slurm's accounting for the tests: slurmdbd over a MariaDB that only its socket leads to."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configuration import ACCOUNT
from daemons import PATH, WAIT_S, answer, daemon, wait_for

# A database of minutes: it need not outlive a power cut.
DATABASE = (
    *("--no-defaults", "--user=root", "--skip-networking", "--skip-log-bin", "--skip-innodb-doublewrite"),
    *("--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M"),
    "--innodb-lock-wait-timeout=900",  # slurmdbd wants no less
)


@contextmanager
def accounting(folder: Path) -> Iterator[None]:
    """Run it, from its first answer on. Munge has to be there."""
    socket = folder / "mariadb.socket"
    options = [*DATABASE, f"--datadir={folder / 'database'}", f"--socket={socket}"]
    with (folder / "mariadb-install-db.log").open("w") as log:
        command = ["mariadb-install-db", *options, "--skip-test-db"]
        subprocess.run(command, check=True, stdout=log, stderr=log, env={"PATH": PATH}, timeout=WAIT_S)
    with daemon(folder, "mariadbd", *options):
        wait_for(socket.exists, "MariaDB")
        with daemon(folder, "slurmdbd", "-D", environment={"MYSQL_UNIX_PORT": str(socket)}):
            wait_for(lambda: answer("sacctmgr", "--noheader", "list", "cluster") is not None, "slurmdbd")
            for entity in (
                ["cluster", "tests"],
                ["account", ACCOUNT],
                ["user", "root", f"account={ACCOUNT}"],
            ):
                added = answer("sacctmgr", "--immediate", "add", *entity)
                assert added is not None, f"sacctmgr does not add {entity}"
            yield

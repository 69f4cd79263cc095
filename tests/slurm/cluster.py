"""A real Slurm on this machine alone: munged, slurmctld and slurmd, with GPUs that are only counted.

``python tests/slurm/cluster.py FOLDER [accounting]``, as root, starts it, and prints ``ready``. It is
stopped when standard input ends: also when whoever started it was killed. A line ``stop`` or ``start`` there
does so with slurmctld alone, and is answered by ``done``.
"""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accounting import accounting
from configuration import GPUS, HOST, configured, foreign
from daemons import PATH, WAIT_S, Daemon, answer, daemon, wait_for

LOCK = Path("/tmp/bupo-slurm-tests.lock")
COMMANDS = ("sbatch", "slurmctld", "slurmd", "munged", "setpriv")
ACCOUNTING = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db", "my_print_defaults")


def missing(with_accounting: bool = False) -> list[str]:
    """The commands that are not installed."""
    names = COMMANDS + ACCOUNTING if with_accounting else COMMANDS
    return [name for name in names if not shutil.which(name, path=PATH)]


@contextmanager
def running(folder: Path, with_accounting: bool = False) -> Iterator[Daemon]:
    """The cluster, from its first answer on; what is given is slurmctld."""
    with ExitStack() as stack:
        lock = stack.enter_context(LOCK.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        for number in range(1, GPUS + 1):
            os.mknod(folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another /dev/null
        (folder / "munge.key").write_bytes(os.urandom(64))
        (folder / "munge.key").chmod(0o600)
        stack.enter_context(configured(folder, with_accounting))
        stack.enter_context(daemon(folder, *munged(folder)))
        wait_for((folder / "munge.socket").exists, "munged")
        if with_accounting:
            stack.enter_context(accounting(folder))
        controller = stack.enter_context(daemon(folder, "slurmctld", "-D"))
        stack.enter_context(daemon(folder, "slurmd", "-D", "-N", HOST))
        wait_for(lambda: answer("sinfo", "--noheader", "--format=%T", "--partition=cpu") == "idle", "Slurm")
        try:
            yield controller
        finally:
            start(controller)
            subprocess.run(["scancel", "--user", "root"], timeout=WAIT_S)
            wait_for(lambda: answer("squeue", "--noheader") == "", "the end of its jobs")


def start(controller: Daemon) -> None:
    """Start slurmctld where it was stopped, and wait for its answer."""
    controller.start()
    wait_for(lambda: answer("sinfo") is not None, "slurmctld")


def munged(folder: Path) -> list[str]:
    """The command that starts an authentication service of our own, beside the machine's, if it has one."""
    paths = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
    paths |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    options = [f"--{option}={folder / name}" for option, name in paths.items()]
    return ["munged", "--foreground", "--force", *options]


def main() -> None:
    folder, with_accounting = Path(sys.argv[1]).resolve(), "accounting" in sys.argv[2:]
    if names := missing(with_accounting):
        sys.exit(f"not installed: {', '.join(names)}")
    if file := foreign():
        sys.exit(f"{file} belongs to another cluster")
    # whoever ends this process ends the cluster in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running(folder, with_accounting) as controller:
        print("ready", flush=True)
        for line in sys.stdin:
            if line == "stop\n":
                controller.stop()
            else:
                start(controller)
            print("done", flush=True)


if __name__ == "__main__":
    main()

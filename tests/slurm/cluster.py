"""A real Slurm on this machine alone: munged, slurmctld and slurmd, with GPUs that are only counted.

``python tests/slurm/cluster.py FOLDER``, as root, starts it, prints ``ready``, and stops it when its standard
input ends: also when whoever started it was killed. Jobs find their configuration in ``/etc/slurm``, since
Snakemake's steps inside a job drop SLURM_CONF; a cluster that is there already is never touched.
"""

import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
OURS = "# Written by tests/slurm/cluster.py; gone when the tests are over."
LOCK = Path("/tmp/bupo-slurm-tests.lock")
HOST = socket.gethostname().split(".")[0]
CPUS, MEMORY_MB, GPUS = 4, 16000, 4
COMMANDS = ("sbatch", "slurmctld", "slurmd", "munged", "setpriv")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
WAIT_S = 60

FILES = {
    # The processors are those that are declared, not those of the machine: jobs of the tests mostly wait.
    # cred_expire is also how long a job that is queued again waits; usually two minutes.
    "slurm.conf": """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
MinJobAge=3600
KillWait=2
MpiDefault=none
GresTypes=gpu
DefMemPerCPU=256
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=cpu Nodes={host} Default=YES MaxTime=1-0
PartitionName=gpu Nodes={host} MaxTime=1-0
""",
    "gres.conf": "NodeName={host} Name=gpu File={folder}/gpu[1-{gpus}]\n",
    "cgroup.conf": "CgroupAutomount=no\n",
}


def foreign() -> Path | None:
    """A configuration in /etc/slurm that somebody else wrote."""
    files = [CONFIGURATION / name for name in FILES]
    return next((file for file in files if file.exists() and not file.read_text().startswith(OURS)), None)


def missing() -> list[str]:
    """The commands that are not installed."""
    return [name for name in COMMANDS if not shutil.which(name, path=PATH)]


@contextmanager
def configured(folder: Path) -> Iterator[None]:
    """Write the configuration; afterwards nothing is in /etc/slurm that was not there."""
    values = {"folder": folder, "host": HOST, "cpus": CPUS, "memory": MEMORY_MB, "gpus": GPUS}
    made = not CONFIGURATION.exists()
    CONFIGURATION.mkdir(exist_ok=True)
    try:
        for name, text in FILES.items():
            (CONFIGURATION / name).write_text(f"{OURS}\n{text.format(**values)}")
        yield
    finally:
        for name in FILES:
            (CONFIGURATION / name).unlink(missing_ok=True)
        if made:
            CONFIGURATION.rmdir()


@contextmanager
def daemon(folder: Path, *command: str) -> Iterator[None]:
    """Run a daemon in the foreground; it goes with this process, however that ends."""
    with (folder / f"{command[0]}.log").open("w") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": PATH},
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """The cluster, from its first answer on."""
    with ExitStack() as stack:
        lock = stack.enter_context(LOCK.open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        for number in range(1, GPUS + 1):
            os.mknod(folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another /dev/null
        (folder / "munge.key").write_bytes(os.urandom(64))
        (folder / "munge.key").chmod(0o600)
        stack.enter_context(configured(folder))
        stack.enter_context(daemon(folder, *munged(folder)))
        wait_for(lambda: (folder / "munge.socket").exists(), "munged")
        stack.enter_context(daemon(folder, "slurmctld", "-D", "-c"))
        stack.enter_context(daemon(folder, "slurmd", "-D", "-N", HOST))
        wait_for(lambda: answer("sinfo", "--noheader", "--format=%T", "--partition=cpu") == "idle", "Slurm")
        try:
            yield
        finally:
            subprocess.run(["scancel", "--user", "root"], timeout=WAIT_S)
            wait_for(lambda: answer("squeue", "--noheader") == "", "the end of its jobs")


def munged(folder: Path) -> list[str]:
    """The command that starts an authentication service of our own, beside the machine's, if it has one."""
    paths = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
    paths |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    options = [f"--{option}={folder / name}" for option, name in paths.items()]
    return ["munged", "--foreground", "--force", *options]


def answer(*command: str) -> str | None:
    """What a command of Slurm says, or None where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    return done.stdout.strip() if done.returncode == 0 else None


def wait_for(ready: Callable[[], bool], what: str) -> None:
    """Wait until something is there.

    Raises:
        RuntimeError: it did not come.
    """
    deadline = time.monotonic() + WAIT_S
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not answer within {WAIT_S} s")
        time.sleep(0.1)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if names := missing():
        sys.exit(f"not installed: {', '.join(names)}")
    if file := foreign():
        sys.exit(f"{file} belongs to another cluster")
    # whoever ends this process ends the cluster in order
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with running(folder):
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()

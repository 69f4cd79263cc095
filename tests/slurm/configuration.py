"""What is written into ``/etc/slurm`` for the tests.

Jobs find their configuration there, since Snakemake's steps inside a job drop SLURM_CONF; that of a cluster
which is there already is never touched.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
OURS = "# Written by tests/slurm/cluster.py; gone when the tests are over."
HOST = socket.gethostname().split(".")[0]
CPUS, MEMORY_MB, GPUS, GRACE_S = 8, 32000, 4, 60
ACCOUNT = "lab"

# The processors are those that are declared, not those of the machine: jobs of the tests mostly wait.
# cred_expire is also how long a job that is queued again waits; usually two minutes.
# A job of `urgent` takes the place of those in `requeued`, `graceful` and `cancelled`.
SLURM = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
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
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
KillWait=2
MpiDefault=none
GresTypes=gpu
DefMemPerCPU=256
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=DEFAULT Nodes={host} MaxTime=1-0 PreemptMode=OFF
PartitionName=cpu Default=YES
PartitionName=gpu
PartitionName=requeued PreemptMode=REQUEUE
PartitionName=graceful PreemptMode=REQUEUE GraceTime={grace}
PartitionName=cancelled PreemptMode=CANCEL
PartitionName=urgent PriorityTier=10
"""
WITHOUT_ACCOUNTING = """
AccountingStorageType=accounting_storage/none
MinJobAge=3600
"""
# Finished jobs are forgotten soon, as on large clusters: only accounting knows how they ended.
WITH_ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations
MinJobAge=2
"""
FILES = {
    "slurm.conf": SLURM,
    "gres.conf": "NodeName={host} Name=gpu File={folder}/gpu[1-{gpus}]\n",
    "cgroup.conf": "CgroupAutomount=no\n",
    # its database is asked through a socket that is given as a variable
    "slurmdbd.conf": """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=accounting
""",
}


def foreign() -> Path | None:
    """A configuration in /etc/slurm that somebody else wrote."""
    files = [CONFIGURATION / name for name in FILES]
    return next((file for file in files if file.exists() and not file.read_text().startswith(OURS)), None)


@contextmanager
def configured(folder: Path, accounting: bool = False) -> Iterator[None]:
    """Write the configuration; afterwards nothing is in /etc/slurm that was not there.

    Args:
        folder: of all that the daemons make.
        accounting: with slurmdbd.
    """
    declared = {"cpus": CPUS, "memory": MEMORY_MB, "gpus": GPUS, "grace": GRACE_S}
    values = {"folder": folder, "host": HOST, **declared}
    made = not CONFIGURATION.exists()
    CONFIGURATION.mkdir(exist_ok=True)
    try:
        for name, text in FILES.items():
            more = (WITH_ACCOUNTING if accounting else WITHOUT_ACCOUNTING) if name == "slurm.conf" else ""
            file = CONFIGURATION / name
            file.touch(mode=0o600)  # slurmdbd reads no other
            file.write_text(f"{OURS}\n{(more + text).format(**values)}")
        yield
    finally:
        for name in FILES:
            (CONFIGURATION / name).unlink(missing_ok=True)
        if made:
            CONFIGURATION.rmdir()

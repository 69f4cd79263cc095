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
CPUS, MEMORY_MB, GPUS = 4, 16000, 4

FILES = {
    # The processors are those that are declared, not those of the machine: jobs of the tests mostly wait.
    # cred_expire is also how long a job that is queued again waits; usually two minutes.
    "slurm.conf": """
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


@contextmanager
def configured(folder: Path) -> Iterator[None]:
    """Write the configuration; afterwards nothing is in /etc/slurm that was not there.

    Args:
        folder: of all that the daemons make.
    """
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

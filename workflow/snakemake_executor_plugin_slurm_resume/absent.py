"""What Snakemake gets where its Slurm executor is not installed: one that says so."""

from dataclasses import dataclass

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """None."""


class Executor(RemoteExecutor):
    """Submits nothing."""

    def __new__(cls, *_: object) -> "Executor":
        """Say what is missing."""
        raise WorkflowError(
            "snakemake-executor-plugin-slurm is not installed in this environment; "
            "envs/cpu.lock has its version."
        )

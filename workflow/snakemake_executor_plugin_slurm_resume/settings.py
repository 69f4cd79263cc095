"""The settings of Snakemake's Slurm executor, without those that would say nothing here."""

from dataclasses import dataclass, field
from typing import Optional

from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_interface_common.exceptions import WorkflowError

UNUSED = {
    "status_command": "squeue is asked for the state of jobs, and sacct of those that it has forgotten",
    "status_attempts": "where Slurm does not answer, it is asked again until it does",
}
HELP = {
    name: {"help": f"Not used: {why}.", "env_var": False, "required": False} for name, why in UNUSED.items()
}


@dataclass
class ExecutorSettings(SlurmSettings):
    """See the module. A field that is there cannot be taken away: it is refused where it is set."""

    status_command: Optional[str] = field(default=None, metadata=HELP["status_command"])  # noqa: UP045
    status_attempts: Optional[int] = field(default=None, metadata=HELP["status_attempts"])  # noqa: UP045

    def __post_init__(self) -> None:
        """Refuse what would be ignored."""
        super().__post_init__()
        for name, why in UNUSED.items():
            if getattr(self, name) is not None:
                raise WorkflowError(f"--slurm-resume-{name.replace('_', '-')} should be left out: {why}.")

"""``executor: slurm-resume`` of Snakemake: its Slurm executor, and what that lacks for grids that take days.

Snakemake finds its plugins by the names of packages and imports all of them, also where nothing is submitted
and the Slurm executor is not installed.
"""

from importlib.util import find_spec

if find_spec("snakemake_executor_plugin_slurm"):
    from snakemake_executor_plugin_slurm import common_settings

    from snakemake_executor_plugin_slurm_resume.executor import Executor
    from snakemake_executor_plugin_slurm_resume.settings import ExecutorSettings
else:
    from snakemake_executor_plugin_slurm_resume.absent import Executor, ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

"""No job asks for more time than its partition allows: Slurm would take it, and never start it."""

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface

from bupo.console.slurm import Failed, time_limit, time_limits


class TimeLimits:
    """The time limits of Slurm's partitions, asked for once.

    Args:
        logger: told where there are none to be had, and once for each partition that bounds a job.
    """

    def __init__(self, logger: LoggerExecutorInterface) -> None:
        found = time_limits()
        if isinstance(found, Failed):
            logger.warning(f"Jobs may ask for more time than their partition allows: {found.why}.")
            found = {}
        self.found = found
        self.logger = logger
        self.told: set[str | None] = set()

    def bound(self, job: JobExecutorInterface) -> None:
        """Lower a job's ``runtime`` (minutes) to its partition's limit."""
        partition = job.resources.get("slurm_partition")
        most, asked = time_limit(self.found, partition), job.resources.get("runtime")
        if not asked or asked <= most:
            return
        # its attribute is what sbatch gets; the executor reads no other
        job.resources.runtime = max(1, int(most))
        if partition not in self.told:
            self.told.add(partition)
            where = f"Partition {partition}" if partition else "The default partition"
            self.logger.warning(
                f"{where} allows {most / 60:g} h, and {job.rule.name} asks for {asked / 60:g} h: "
                "its jobs get what is allowed. Set that partition's max_hours in configs/cluster.yaml."
            )

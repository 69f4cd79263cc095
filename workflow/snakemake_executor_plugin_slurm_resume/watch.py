"""How Slurm's jobs end: by ``squeue``, each task of an array by its own number."""

from collections.abc import Collection

from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface

from bupo.console.slurm import Failed, ask

TIMEOUT_S = 60
DONE = "COMPLETED"
FAILED = frozenset({"BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"})


class Watch:
    """Asks Slurm for the jobs of one name, look by look.

    Args:
        name: of the jobs.
        logger: told once when Slurm does not answer, and once when it does again.
    """

    def __init__(self, name: str, logger: LoggerExecutorInterface) -> None:
        self.name = name
        self.logger = logger
        self.away = False

    def look(self, ids: Collection[str]) -> dict[str, str]:
        """The jobs that are over: empty for those that ended well, or why they count as failed.

        None is over where Slurm does not answer.
        """
        listed = self._listed()
        if isinstance(listed, Failed):
            if not self.away:
                self.logger.warning(f"Slurm does not say how jobs go, and is asked again: {listed.why}.")
            self.away = True
            return {}
        if self.away:
            self.logger.info("Slurm says how jobs go again.")
        self.away = False
        over = {}
        for job_id in ids:
            state, reason = listed.get(job_id, ("", ""))
            if state == DONE:
                over[job_id] = ""
            elif state in FAILED:
                over[job_id] = f"Slurm's job {job_id} ended as {state}{reason}. "
        return over

    def _listed(self) -> dict[str, tuple[str, str]] | Failed:
        """State of each job, and in brackets what Slurm says to it."""
        command = [
            "squeue",
            "--name",
            self.name,
            "--noheader",
            "--array",
            "--states=all",
            "--format=%i|%T|%r",
        ]
        rows = ask(command, TIMEOUT_S)
        if isinstance(rows, Failed):
            return rows
        found = {}
        for row in rows.splitlines():
            job_id, state, reason = [*row.split("|", maxsplit=2), "", ""][:3]
            found[job_id] = state, "" if reason in ("", "None") else f" ({reason})"
        return found

"""How Slurm's jobs end: ``squeue`` tells it, each task of an array by its own number, or ``sacct``."""

from collections.abc import Callable, Collection

from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface

from bupo.console.ask import Failed, ask

TIMEOUT_S = 60
DONE = "COMPLETED"
FAILED = frozenset({"CANCELLED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"})
AGAIN = frozenset({"BOOT_FAIL", "LAUNCH_FAILED", "NODE_FAIL", "PREEMPTED", "RECONFIG_FAIL", "REVOKED"})
"""Ends after which Slurm may queue a job again: they count at the second look in a row."""
HELD = frozenset({"REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
"""A job waits, until a person lets it go on. Others that wait for one are PENDING."""
GONE = ""
LOOKS = 3
"""At so many looks in a row Slurm has to know nothing of a job before that counts as its end."""


class Watch:
    """Asks Slurm for the jobs of one name, look by look.

    Args:
        name: of the jobs.
        logger: told once when Slurm does not answer and when it does again, and of each job that is held.
    """

    def __init__(self, name: str, logger: LoggerExecutorInterface) -> None:
        self.name = name
        self.logger = logger
        self.away = False
        self.doubts: dict[str, tuple[str, int]] = {}
        """The state of each job that may have ended, and at how many looks in a row it was that."""
        self.held: set[str] = set()

    def look(self, ids: Collection[str], made: Callable[[str], bool]) -> dict[str, str]:
        """The jobs that are over: empty for those that ended well, or why they count as failed.

        None is over where Slurm does not answer.

        Args:
            ids: of the jobs.
            made: whether a job that Slurm knows nothing of has made its outputs.
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
        listed |= self._accounted([job_id for job_id in ids if job_id not in listed])
        self._tell_held([job_id for job_id in ids if _is_held(*listed.get(job_id, (GONE, "")))])
        over = {}
        for job_id in ids:
            state, reason = listed.get(job_id, (GONE, ""))
            end = self._end(job_id, state, reason, made)
            if end is not None:
                over[job_id] = end
                self.doubts.pop(job_id, None)
        return over

    def _end(self, job_id: str, state: str, reason: str, made: Callable[[str], bool]) -> str | None:
        said = f" ({reason})" if reason else ""
        if state == DONE or (state == GONE and made(job_id)):
            return ""
        if state in FAILED:
            return f"Slurm's job {job_id} ended as {state}{said}. "
        if state != GONE and state not in AGAIN:
            self.doubts.pop(job_id, None)
            return None
        before, looks = self.doubts.get(job_id, (state, 0))
        looks = looks + 1 if state == before else 1
        self.doubts[job_id] = state, looks
        if looks < (LOOKS if state == GONE else 2):
            return None
        # should it be queued again after all, it must not run beside the next
        ask(["scancel", job_id], TIMEOUT_S)
        if state == GONE:
            return f"Slurm knows nothing of job {job_id} any more, and its outputs are not there. "
        return f"Slurm's job {job_id} ended as {state}{said}, and was not queued again. "

    def _tell_held(self, held: list[str]) -> None:
        if new := ",".join(job_id for job_id in held if job_id not in self.held):
            self.logger.warning(
                f"Slurm holds {new}: `scontrol release {new}` lets it go on, and what is cancelled by "
                "scancel is submitted again."
            )
        self.held = set(held)

    def _listed(self) -> dict[str, tuple[str, str]] | Failed:
        """State of each job that Slurm's controller remembers, and what it says to it."""
        rows = self._ask("squeue", "--array", "--states=all", "--noheader", "--format=%i|%T|%r")
        return rows if isinstance(rows, Failed) else _read(rows)

    def _accounted(self, ids: list[str]) -> dict[str, tuple[str, str]]:
        """How jobs ended that Slurm's controller has forgotten, where there is accounting."""
        if not ids:
            return {}
        listed = ["--allocations", "--parsable2", "--noheader", "--format=JobID,State"]
        rows = self._ask("sacct", *listed, "--jobs", ",".join(ids))
        found = {} if isinstance(rows, Failed) else _read(rows)
        # what goes on there without the controller's knowledge does not
        return {job_id: end for job_id, end in found.items() if end[0] in {DONE, *FAILED, *AGAIN}}

    def _ask(self, command: str, *arguments: str) -> str | Failed:
        return ask([command, "--name", self.name, *arguments], TIMEOUT_S)


def _read(rows: str) -> dict[str, tuple[str, str]]:
    found = {}
    for row in rows.splitlines():
        job_id, state, reason = [*row.split("|", maxsplit=2), "", ""][:3]
        # sacct: CANCELLED by 1000
        found[job_id] = state.partition(" ")[0], "" if reason == "None" else reason
    return found


def _is_held(state: str, reason: str) -> bool:
    return state in HELD or (state == "PENDING" and "held" in reason.lower())

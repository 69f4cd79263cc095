"""What it means that Slurm refuses a submission: whether that passes, and how it is told."""

import re
import threading
from dataclasses import dataclass
from enum import Enum

from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface


class Kind(Enum):
    """How a refusal is dealt with."""

    PASSES = "Slurm is away or busy"
    LIMIT = "as many jobs are in the queue as may be"
    FINAL = "no time changes it"
    UNKNOWN = "none of these"


_PASSES = re.compile(
    r"unable to (contact|connect)|connect(ion)? |not connected|timed out|timeout|temporar|try again|later"
    r"|standby|zero (bytes|length)|presently disabled|message (send|receive) failure|inactive or drain"
    r"|writing script|authentication|cannot allocate|too many open files|no space|quota",
    re.I,
)
_LIMIT = re.compile(r"(?:Submit|Max|Grp)Jobs?(?:Per[A-Z][a-z]+)?Limit\b")
_SOME_LIMIT = re.compile(r"[a-z]Limit\b")
_ANY_LIMIT = "job submit limit"
"""In the words of Slurm that come with each of its limits; older ones do not name it."""
_FINAL = re.compile(
    r"invalid|requested|\bspecif|not permitted|denied|violates|unrecognized|exceed|too long|unable to open",
    re.I,
)
_HEAD = re.compile(r"^(sbatch: )?(error: )?(Batch job submission failed: )?")


@dataclass(frozen=True)
class Refusal:
    """Why Slurm did not take jobs.

    Attributes:
        why: in its words, in one line.
        call: of sbatch; empty where there was none.
    """

    kind: Kind
    why: str
    call: str = ""

    @classmethod
    def of(cls, words: str, call: str = "") -> "Refusal":
        """From what sbatch said."""
        lines = [_HEAD.sub("", line).strip() for line in words.splitlines()]
        why = ": ".join(filter(None, lines))[:300].rstrip(".")
        return cls(_kind_of(words), why or "sbatch said nothing", call)

    @property
    def told(self) -> str:
        """For whoever waits for the job."""
        where = " configs/cluster.yaml says what jobs ask for." if self.kind is Kind.FINAL else ""
        call = f"\n    {self.call}\n" if self.call else " "
        return f"Slurm does not take this job: {self.why}.{where}{call}"


def _kind_of(words: str) -> Kind:
    if _LIMIT.search(words) or (_ANY_LIMIT in words and not _SOME_LIMIT.search(words)):
        return Kind.LIMIT
    if _PASSES.search(words):
        return Kind.PASSES
    return Kind.FINAL if _FINAL.search(words) else Kind.UNKNOWN


class Telling:
    """Tells of what passes once, however many jobs it meets and however often.

    Args:
        logger: that it is told to.
    """

    def __init__(self, logger: LoggerExecutorInterface) -> None:
        self.logger = logger
        self.told: set[Kind] = set()
        self.lock = threading.Lock()

    def refused(self, refusal: Refusal, numbers: str) -> None:
        """Slurm did not take the jobs of these numbers, which are submitted again."""
        with self.lock:
            if refusal.kind in self.told:
                return
            if refusal.kind is Kind.UNKNOWN:
                told = f"Slurm did not take jobs {numbers}; they are submitted again"
            elif refusal.kind is Kind.LIMIT:
                told = "Slurm's queue has as many jobs as it may; the others are submitted as they end"
            else:
                told = "Slurm takes no jobs at present; they are submitted again for half an hour"
            if refusal.kind is not Kind.UNKNOWN:
                self.told.add(refusal.kind)
        self.logger.warning(f"{told}: {refusal.why}.")

    def taken(self) -> None:
        """Slurm took a job."""
        with self.lock:
            if Kind.PASSES not in self.told:
                return
            self.told.remove(Kind.PASSES)
        self.logger.info("Slurm takes jobs again.")

"""One check of the doctor: what was looked at, how it is, and what to do."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "failed", "not checked", "not applicable"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was looked at.
        found: how it is, in one sentence.
        remedy: what to do, where it failed or was not checked.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        """For people."""
        line = f"{self.status + ':':<16}{self.name}: {self.found}"
        return f"{line}\n{'':<16}-> {self.remedy}" if self.remedy else line


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, "ok", found)


def failed(name: str, found: str, remedy: str) -> Check:
    """Something has to be done."""
    return Check(name, "failed", found, remedy)


def not_applicable(name: str, found: str) -> Check:
    """There is nothing to look at here."""
    return Check(name, "not applicable", found)


def not_checked(name: str, found: str, remedy: str) -> Check:
    """It could be looked at, but was not asked for."""
    return Check(name, "not checked", found, remedy)

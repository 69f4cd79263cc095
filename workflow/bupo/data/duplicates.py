"""Duplicates inside one set: a group with one answer keeps one row, a contradictory one keeps none."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bupo.data.keys import exact_key, letters_key, marks
from bupo.data.normal import Problem

Same = Callable[[str, str], bool]
REASONS = {
    "equal": "duplicate of {}",
    "equivalent": "duplicate of {}, answer written otherwise",
    "conflicting": "duplicates with conflicting answers",
}


@dataclass(frozen=True)
class Group:
    """Rows that are one problem, or look as if they were.

    Attributes:
        by: ``text`` (equal up to spacing and LaTeX variants) or ``letters and digits``.
        verdict: ``equal``, ``equivalent`` (both keep one row), ``conflicting`` (none is kept) or
            ``different`` (numbers or signs differ, and the answers: several problems, all kept).
        kept: the row that stays, None where none or all do.
        members: all rows of the group.
    """

    by: str
    verdict: str
    kept: Problem | None
    members: tuple[Problem, ...]

    def dropped(self) -> Iterator[tuple[Problem, str]]:
        """The rows that go, each with the reason."""
        if self.verdict != "different":
            reason = REASONS[self.verdict].format(self.kept.id if self.kept else "")
            yield from ((problem, reason) for problem in self.members if problem is not self.kept)

    def describe(self) -> dict[str, Any]:
        """The group for the report."""
        return {
            "by": self.by,
            "verdict": self.verdict,
            "kept": self.kept.id if self.kept else None,
            "answers": sorted({p.answer for p in self.members}),
            "rows": [{"file": p.upstream_file, "row": p.upstream_row} for p in self.members],
            "problem": self.members[0].problem[:200],
        }


def drop_duplicates(
    problems: list[Problem], same: Same, by_letters: bool
) -> tuple[list[Problem], list[Group]]:
    """Problems without duplicates, in their order, and the groups that were found.

    Which row of a group stays does not depend on the order of the rows. Equal texts come first, then equal
    letters and digits among those that are left.

    Args:
        problems: a set's problems.
        same: whether two answers are equal or equivalent.
        by_letters: also treat problems with equal letters and digits as one.
    """
    kept, groups = _round(problems, exact_key, "text", same)
    if by_letters:
        kept, more = _round(kept, letters_key, "letters and digits", same)
        groups += more
    return kept, groups


def _round(
    problems: list[Problem], key: Callable[[str], str], by: str, same: Same
) -> tuple[list[Problem], list[Group]]:
    members = defaultdict(list)
    for problem in problems:
        members[key(problem.problem)].append(problem)
    groups = []
    for found in members.values():
        if len(found) > 1:
            first = min(found, key=lambda p: (p.problem, p.answer, p.upstream_hash))
            verdict = _verdict(found, first, same)
            stays = first if verdict in ("equal", "equivalent") else None
            groups.append(Group(by, verdict, stays, tuple(found)))
    gone = {id(problem) for group in groups for problem, _ in group.dropped()}
    return [problem for problem in problems if id(problem) not in gone], groups


def _verdict(found: list[Problem], first: Problem, same: Same) -> str:
    if len({p.answer for p in found}) == 1:
        return "equal"
    if all(same(first.answer, p.answer) for p in found):
        return "equivalent"
    return "different" if len({marks(p.problem) for p in found}) > 1 else "conflicting"

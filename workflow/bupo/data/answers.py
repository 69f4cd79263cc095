"""Whether two gold answers are the same, and whether the grader's parser can read one."""

from functools import lru_cache

from bupo.data.simple import is_simple
from bupo.grading import Grader
from bupo.grading.integers import plain_integer
from bupo.grading.strings import normalise


@lru_cache(1 << 17)
def answer_key(answer: str) -> str:
    """Spelling under which answers that differ only in notation are equal; nothing is computed."""
    value = plain_integer(answer)
    return str(value) if value is not None else normalise(answer)


class Answers:
    """Compares and reads gold answers with the grader, whose child process starts when it is first needed.

    To be used in a ``with`` block.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._grader = Grader("math_verify")
        self._statuses: dict[str, str] = {}

    def same(self, first: str, second: str) -> bool:
        """Equal in spelling, or as mathematics (in one direction at least: the grader's verdict has one)."""
        if answer_key(first) == answer_key(second):
            return True
        if plain_integer(first) is not None and plain_integer(second) is not None:
            return False
        grade = self._grader.grade_answer
        return grade(first, second).correct or grade(second, first).correct

    def status(self, answer: str) -> str:
        """``integer``, ``read`` or ``unreadable``: what the grader's parser makes of a gold answer."""
        if answer not in self._statuses:
            self._statuses[answer] = self._status(answer)
        return self._statuses[answer]

    def _status(self, answer: str) -> str:
        if plain_integer(answer) is not None:
            return "integer"
        return "read" if is_simple(answer) or self._grader.can_read(answer) else "unreadable"

    def __enter__(self) -> "Answers":
        """The comparer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the grader's child process."""
        self._grader.close()

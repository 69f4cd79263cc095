"""The grader: a response against a gold answer, in a time that no response can stretch."""

from dataclasses import dataclass
from functools import lru_cache

from bupo.grading.extract import last_boxed
from bupo.grading.integers import plain_integer
from bupo.grading.process import Child
from bupo.grading.screen import MAX_ANSWER, is_explosive
from bupo.grading.strings import normalise, same_string, undecorated

RULES = ("math_verify", "string")
CACHED_PAIRS = 1 << 16


@dataclass(frozen=True)
class Grade:
    """Verdict on one response.

    Attributes:
        correct: the score, 1 or 0.
        status: ``correct``; ``wrong``; ``no_box`` (no closed box); ``too_long`` (box longer than any answer);
            ``refused`` (a tower of powers and the like); ``unreadable`` (the parser makes nothing of it);
            ``timeout``, ``memory``, ``error`` (the parser met a limit or failed). All but the first score 0.
        answer: content of the last box, None without one, shortened to 400 characters.
        key: spelling under which equal answers fall together in a vote, None where there is no vote.
    """

    correct: bool
    status: str
    answer: str | None
    key: str | None = None


class Grader:
    """Grades responses by one rule; may be shared by threads, used in Ray workers, and is cheap to make.

    The child process starts with the first pair that needs the parser: never for integers, never for the
    ``string`` rule.

    Args:
        rule: ``math_verify`` (equal as mathematics) or ``string`` (the paper's: equal as normalised strings).
        limit_s: processor time of the parser for one pair in seconds; by the clock at most four times that.

    Raises:
        ValueError: for another rule or a limit that is not positive.
    """

    def __init__(self, rule: str = "math_verify", limit_s: float = 1.0) -> None:
        if rule not in RULES:
            raise ValueError(f"grading rule is {rule!r}; one of {', '.join(RULES)} would be right")
        if not limit_s > 0:
            raise ValueError(f"limit_s is {limit_s}; a positive number of seconds would be right")
        self.rule, self.limit_s = rule, limit_s
        self._child = Child()
        self._compare = lru_cache(CACHED_PAIRS)(self._compare_parsed)

    def grade(self, gold: str, response: str) -> Grade:
        """Grade the last box of ``response`` against ``gold``."""
        answer = last_boxed(response)
        if answer is None:
            return Grade(False, "no_box", None)
        return self.grade_answer(gold, answer)

    def grade_answer(self, gold: str, answer: str) -> Grade:
        """Grade an answer that is already out of its box."""
        gold, answer = gold.strip(), answer.strip()
        if len(answer) > max(MAX_ANSWER, 2 * len(gold)):
            return Grade(False, "too_long", answer[:MAX_ANSWER])
        if self.rule == "string":
            correct = same_string(gold, answer)
            return Grade(correct, "correct" if correct else "wrong", answer, normalise(answer) or None)
        if "".join(gold.split()) == "".join(answer.split()) != "":
            return Grade(True, "correct", answer, normalise(answer))
        wanted, wanted_percent = undecorated(gold)
        given, given_percent = undecorated(answer)
        status, key = self._status(wanted, given)
        if status == "wrong" and wanted_percent != given_percent:  # 50% is 50 (the usual convention) and 0.5
            parts = (wanted, f"({given})/100") if given_percent else (f"({wanted})/100", given)
            status = self._status(*parts)[0]
        return Grade(status == "correct", status, answer, key)

    def can_read(self, gold: str) -> bool:
        """Whether the rule can work with this gold answer: it is not empty and the parser reads it."""
        if self.rule == "string":
            return normalise(gold) != ""
        gold, _ = undecorated(gold)
        if plain_integer(gold) is not None:
            return True
        return self._child.ask(gold, None, self.limit_s)["status"] == "read"

    def close(self) -> None:
        """End the child process; a later call starts another."""
        self._child.close()

    def __enter__(self) -> "Grader":
        """For ``with``."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _status(self, gold: str, answer: str) -> tuple[str, str | None]:
        wanted, value = plain_integer(gold), plain_integer(answer)
        if wanted is not None and value is not None:
            return "correct" if value == wanted else "wrong", str(value)
        if is_explosive(answer):
            return "refused", None
        return self._compare(gold, answer)

    def _compare_parsed(self, gold: str, answer: str) -> tuple[str, str | None]:
        reply = self._child.ask(gold, answer, self.limit_s)
        return reply["status"], reply.get("key")

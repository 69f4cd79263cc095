"""The grader: a response against a gold answer, in a time that no response can stretch."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from bupo.grading.bases import same_numeral
from bupo.grading.decoration import Plain, has_variable, undecorated
from bupo.grading.extract import last_boxed
from bupo.grading.integers import plain_integer
from bupo.grading.process import Child
from bupo.grading.rationals import Number, plain_number, same_number
from bupo.grading.screen import MAX_ANSWER, is_explosive, is_unfinished
from bupo.grading.spelling import respelled
from bupo.grading.strings import normalise, same_string

RULES = ("math_verify", "string")
STATUSES = ("correct", "wrong", "no_box", "truncated", "grader_timeout")
CACHED_PAIRS = 1 << 16
LONE_BRACES = re.compile(r"([_^])\{(\w)\}")


@dataclass(frozen=True)
class Grade:
    """Verdict on one response.

    Attributes:
        correct: the score, 1 or 0.
        status: ``correct``, ``wrong``, ``no_box`` (no closed box) or ``grader_timeout`` (the parser met a
            limit of time or memory); ``truncated`` is for those who know that a response was cut off. All but
            the first score 0.
        answer: content of the last box, None without one, shortened to 300 characters.
        key: spelling under which equal answers fall together in a vote, None where there is no vote.
        detail: why an answer was not compared as mathematics: ``too_long`` (box longer than any answer),
            ``refused`` (a tower of powers and the like), ``unreadable`` (the parser makes nothing of it),
            ``timeout``, ``memory``, ``error`` (the parser failed); "" where it was.
    """

    correct: bool
    status: str
    answer: str | None
    key: str | None = None
    detail: str = ""


class _Verdict(NamedTuple):
    """What the comparison of two spelled-out answers gives: ``correct``, ``wrong`` or a detail of `Grade`."""

    word: str
    key: str | None


class _Read(NamedTuple):
    """An answer without decoration, as it goes to the parser, and its value where it is a plain number."""

    plain: Plain
    latex: str
    number: Number | None


class Grader:
    """Grades responses by one rule; may be shared by threads, used in Ray workers, and is cheap to make.

    The child process starts with the first pair that needs the parser: never for plain numbers, never for the
    ``string`` rule.

    Args:
        rule: ``math_verify`` (equal as mathematics) or ``string`` (of the scripts: equal as strings).
        limit_s: processor time of the parser for one pair in seconds; by the clock at most four times that.

    Raises:
        ValueError: for another rule or a limit that is not positive.
    """

    def __init__(self, rule: str = "math_verify", limit_s: float = 0.5) -> None:
        if rule not in RULES:
            raise ValueError(f"grading rule is {rule!r}; one of {', '.join(RULES)} would be right")
        if not limit_s > 0:
            raise ValueError(f"limit_s is {limit_s}; a positive number of seconds would be right")
        self.rule, self.limit_s = rule, limit_s
        self._child = Child()
        self._graded = lru_cache(CACHED_PAIRS)(self._grade_answer)

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
            return Grade(False, "wrong", answer[:MAX_ANSWER], None, "too_long")
        return self._graded(gold, answer)

    def can_read(self, gold: str) -> bool:
        """Whether the rule can work with this gold answer: it is not empty and the parser reads it."""
        return self.reading(gold) is not None

    def reading(self, answer: str) -> str | None:
        """What the rule makes of an answer, as text; None where it makes nothing of it.

        For ``string`` the normalised string, for ``math_verify`` the expression that its parser has read.
        """
        if self.rule == "string":
            return normalise(answer) or None
        read = _read(answer)
        if read.number is not None:
            return str(read.number.value)
        if is_explosive(read.latex) or len(read.latex) > MAX_ANSWER:
            return None
        reply = self._child.ask(read.latex, None, self.limit_s)
        return (reply["key"] or read.latex) if reply["status"] == "read" else None

    def close(self) -> None:
        """End the child process; a later call starts another."""
        self._child.close()

    def __enter__(self) -> "Grader":
        """For ``with``."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _grade_answer(self, gold: str, answer: str) -> Grade:
        if self.rule == "string":
            same = same_string(gold, answer)
            return Grade(same, "correct" if same else "wrong", answer, normalise(answer) or None)
        word, key = self._verdict(gold, answer)
        if word == "correct":
            return Grade(True, word, answer, normalise(gold) or gold)
        detail = "" if word == "wrong" else word
        status = "grader_timeout" if word in ("timeout", "memory") else "wrong"
        return Grade(False, status, answer, key, detail)

    def _verdict(self, gold: str, answer: str) -> _Verdict:
        if _compact(gold) == _compact(answer) != "":
            return _Verdict("correct", None)
        wanted = _read(gold)
        given = _read(answer, letters_are_units=not has_variable(wanted.plain.text))
        numeral = same_numeral(wanted.latex, given.latex)
        units = {wanted.plain.unit, given.plain.unit} - {None}
        if len(units) == 2 or numeral is False:
            return _Verdict("wrong", normalise(answer) or None)
        if numeral:
            return _Verdict("correct", None)
        verdict = self._compared(wanted, given)
        if verdict.word == "wrong" and wanted.plain.percent != given.plain.percent:
            # 50% is 50 (the usual convention) and 0.5
            verdict = verdict._replace(word=self._compared(_hundredth(wanted), _hundredth(given)).word)
        return verdict

    def _compared(self, wanted: _Read, given: _Read) -> _Verdict:
        if wanted.number is not None and given.number is not None:
            same = same_number(wanted.number, given.number)
            return _Verdict("correct" if same else "wrong", str(given.number.value))
        if _compact(wanted.latex) == _compact(given.latex) != "":
            return _Verdict("correct", None)
        if is_explosive(given.latex) or is_unfinished(wanted.latex, given.latex):
            return _Verdict("refused", None)
        reply = self._child.ask(wanted.latex, given.latex, self.limit_s)
        return _Verdict(reply["status"], reply.get("key"))


def _read(text: str, letters_are_units: bool = False) -> _Read:
    integer = plain_number(text) if plain_integer(text) is not None else None
    plain = Plain(text) if integer else undecorated(text, letters_are_units)
    number = integer or plain_number(plain.text)
    return _Read(plain, plain.text if number else respelled(plain.text), number)


def _hundredth(read: _Read) -> _Read:
    """The value of a percentage; what is none stays."""
    if not read.plain.percent:
        return read
    number = read.number and read.number._replace(value=read.number.value / 100)
    return read._replace(latex=f"({read.latex})/100", number=number)


def _compact(text: str) -> str:
    r"""Without white space and without braces that group nothing, as in ``E_{1}``."""
    return LONE_BRACES.sub(r"\1\2", "".join(text.split()))

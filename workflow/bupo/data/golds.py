r"""Gold answers: taken as upstream meant them, repaired where that is sure, else refused with a reason."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bupo.data.repair import repair_controls
from bupo.grading.extract import closing_brace

BOX = re.compile(r"\\f?box(?:ed)?(?![a-zA-Z])")
BARE_BOX = re.compile(r"[^$\n]*")
JOINED = re.compile(r"[\s$.\\\])]*(?:,|\bor\b|\band\b|\\text\{\s*(?:or|and)\s*\})[\s$\\\[(]*")
CURRENCY = re.compile(r"\\?\$\s*(?=\d[\d.,{}\\!]*$)")
LEADING_ZEROS = re.compile(r"(-?)0+(\d+)")
FLOAT_ZEROS = re.compile(r"(-?\d+)\.0+")
DEGREES = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*$|\s*°$|\s*\\degree$")
MATH_MODE = re.compile(r"^\\\((.*)\\\)$|^\\\[(.*)\\\]$", re.DOTALL)
KEEPS_STOP = re.compile(r"(?:\b[ap]\.m|\.\.|\\[cl]?dots|\\)\.$|^\.$")


@dataclass(frozen=True)
class Gold:
    """A gold answer.

    Attributes:
        answer: normalised; "" where it had to be refused.
        reason: why it was refused, "" where it was not.
        repairs: how many repairs of each kind were made.
    """

    answer: str
    reason: str
    repairs: Counter[str]


def normalise_gold(value: Any, answer_in: str = "field") -> Gold:
    """A gold answer in normal form; a second time changes nothing.

    Args:
        value: what the upstream row holds: text, a number, or a list (of one, or of alternatives, the first
            of which is taken).
        answer_in: ``field``, ``box`` or ``hashes``, see `bupo.data.config.Columns`.
    """
    repairs: Counter[str] = Counter()
    text = _as_text(value, repairs)
    if answer_in == "hashes":
        _, mark, text = text.rpartition("####")
        if not mark:
            return Gold("", "no #### in the solution", repairs)
    elif answer_in == "box":
        boxed, several = last_boxes(text)
        if boxed is None:
            return Gold("", "no closed box in the solution", repairs)
        if several:
            repairs["boxes_joined"] += 1
        text = boxed
        if not text.strip():
            return Gold("", "the last box is empty", repairs)
    answer = _fixpoint(text, repairs)
    if not answer:
        return Gold("", "no answer", repairs)
    return Gold(answer, "", repairs)


def _as_text(value: Any, repairs: Counter[str]) -> str:
    if isinstance(value, list | tuple):
        filled = [item for item in value if item is not None and str(item).strip()]
        repairs["list"] += 1
        if len({str(item).strip() for item in filled}) > 1:
            repairs["alternatives_first_taken"] += 1
        value = filled[0] if filled else None
    if value is None or value != value:  # None or NaN
        return ""
    if isinstance(value, bool):
        return str(value)
    return str(value)


def last_boxes(text: str) -> tuple[str | None, bool]:
    r"""Content of the last box of a solution, and whether it was joined from several.

    Reads balanced braces, ``\fbox``, and ``\boxed 2`` without braces (up to the end of the formula, as the
    authors of MATH do). Boxes joined by "or", "and" or a comma are one answer with several values. None where
    there is no box or where the last one never closes.
    """
    found = []
    for match in BOX.finditer(text):
        start = match.end()
        while start < len(text) and text[start] in " \t\n":
            start += 1
        if text[start : start + 1] == "{":
            end = closing_brace(text, start)
            if end is None:
                return None, False
            found.append((match.start(), end + 1, text[start + 1 : end].strip()))
        elif bare := BARE_BOX.match(text, start):
            found.append((match.start(), bare.end(), bare.group().strip()))
    found = [box for i, box in enumerate(found) if not any(other[1] >= box[1] for other in found[:i])]
    if not found:
        return None, False
    contents = [found[-1][2]]
    for before, box in zip(reversed(found[:-1]), reversed(found[1:]), strict=True):
        if not JOINED.fullmatch(text, before[1], box[0]):
            break
        if before[2] not in contents:
            contents.insert(0, before[2])
    return ", ".join(contents), len(contents) > 1


def _fixpoint(text: str, repairs: Counter[str]) -> str:
    while True:
        repaired = _once(text, repairs)
        if repaired == text:
            return repaired
        text = repaired


def _once(text: str, repairs: Counter[str]) -> str:
    """One round of repairs; each is counted under its name where it changed the text."""

    def note(name: str, new: str) -> None:
        nonlocal text
        if new != text:
            repairs[name] += 1
            text = new

    fixed, counts = repair_controls(text)
    repairs.update(counts)
    text = " ".join(fixed.split())
    if BOX.search(text):
        boxed, _ = last_boxes(text)
        if boxed is not None:
            note("box", boxed)
    if match := MATH_MODE.match(text):
        note("math_mode", (match[1] or match[2] or "").strip())
    note("currency_sign", CURRENCY.sub("", text))
    if text.count("$") - text.count("\\$") == 2 * (text.count("$") // 2) and "\\$" not in text:
        note("dollar_signs", text.replace("$", "").strip())
    if text.endswith(".") and not KEEPS_STOP.search(text):
        note("trailing_period", text[:-1].rstrip())
    note("degrees", DEGREES.sub("", text))
    note("float_zeros", FLOAT_ZEROS.sub(r"\1", text) if FLOAT_ZEROS.fullmatch(text) else text)
    note("leading_zeros", LEADING_ZEROS.sub(r"\1\2", text) if LEADING_ZEROS.fullmatch(text) else text)
    if text.startswith("{") and closing_brace(text, 0) == len(text) - 1:
        note("braces", text[1:-1].strip())
    return text

r"""Cheap checks that keep an answer which only costs time away from the parser.

The bounds lie far beyond the gold answers: in 13,900 of benchmarks and training sets brackets lie at most
six deep, all but four have under 205 characters, and none is an integral or a limit. An answer beyond them is
right only if it is spelled like its gold, and that is checked before.
"""

import re
from math import log10

MAX_ANSWER = 300
MAX_DIGITS = 120
MAX_DEPTH = 12
MAX_BARS = 12
MAX_RELATIONS = 16
MAX_EXPONENT_DIGITS = 5
BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
OPENING = r"(?:[\s{(]|\\left)*"
HUGE_EXPONENT = re.compile(rf"(?:\^|\*\*){OPENING}[+-]?\s*\d{{6,}}")
TOWER = re.compile(rf"(?:(?:\^|\*\*){OPENING}[0-9a-zA-Z\\]+[\s{{(]*){{3,}}|(?:\\exp[\s{{(]*){{3,}}")
POWER_AS_EXPONENT = re.compile(rf"(?:\^|\*\*){OPENING}(\d+)[\s)}}]*(?:\^|\*\*){OPENING}(\d+)")
BINOMIAL = re.compile(r"binom[\s{]*(?:\d{5,}|\d+\s*\^)")
FACTORIAL = re.compile(r"\d{5,}[\s)}]*!|!\s*!|![)}\s]+!|\^[\s{(]*\d+[\s)}]*!")
UNFINISHED = re.compile(r"\\(?:i+nt|oint|lim|sum|prod|det)(?![a-z])|\\frac\s*\{\s*d\s*\}\s*\{\s*d")


def is_explosive(answer: str) -> bool:
    """Whether reading or simplifying ``answer`` could take time or memory out of proportion."""
    patterns = (HUGE_EXPONENT, TOWER, BINOMIAL, FACTORIAL)
    if any(pattern.search(answer) for pattern in patterns):
        return True
    if any(_digits(*match.groups()) > MAX_EXPONENT_DIGITS for match in POWER_AS_EXPONENT.finditer(answer)):
        return True
    if re.search(rf"\d{{{MAX_DIGITS}}}", answer) or answer.count("|") > MAX_BARS:
        return True
    return depth(answer) > MAX_DEPTH or len(re.findall(r"[=<>]|\\[lg]eq?(?![a-z])", answer)) > MAX_RELATIONS


def is_unfinished(gold: str, answer: str) -> bool:
    """Whether ``answer`` leaves an integral, a limit, a sum or the like to the grader, unlike its gold."""
    last = cut(answer, "=")[-1]
    return UNFINISHED.search(last) is not None and UNFINISHED.search(gold) is None


def depth(text: str) -> int:
    """How deep brackets lie within brackets."""
    level = deepest = 0
    for character in text:
        level = max(0, level + BRACKETS.get(character, 0))
        deepest = max(deepest, level)
    return deepest


def cut(text: str, mark: str) -> list[str]:
    """``text`` cut at the marks that stand outside of all brackets."""
    found, level, start = [], 0, 0
    for place, character in enumerate(text):
        level += BRACKETS.get(character, 0)
        if character == mark and level == 0:
            found.append(text[start:place])
            start = place + 1
    return [*found, text[start:]]


def _digits(base: str, exponent: str) -> float:
    """Decimal digits of ``base`` to the power of ``exponent``."""
    return log10(max(1, int(base[:20]))) * min(int(exponent[:20]), 10**9)

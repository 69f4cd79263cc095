r"""Numerals with a base, such as ``2516_8``: the parser reads their digits and forgets the base."""

import re
from typing import NamedTuple

WRAPPED = r"(?:\\(?:text|mathrm|mbox|textrm)\s*)?"
NUMERAL = re.compile(
    rf"(?:(\w+)|\(\s*(\w+)\s*\)|{WRAPPED}\{{\s*(\w+)\s*\}})"
    rf"\s*_\s*(?:(\d)|{WRAPPED}\{{\s*{WRAPPED}\{{?\s*(\d+)\s*\}}?\s*\}})"
)


class Numeral(NamedTuple):
    """Digits without leading zeros, and the base; None where none is written."""

    digits: str
    base: int | None


def numeral(text: str) -> Numeral | None:
    """``text`` as a numeral with a base from 2 to 36, None where it is none."""
    match = NUMERAL.fullmatch(text.strip()) if "_" in text and len(text) < 100 else None
    if match is None:
        return None
    digits = next(group for group in match.groups()[:3] if group is not None).replace("_", "")
    base = int(match[4] or match[5])
    if not 2 <= base <= 36:
        return None
    try:
        int(digits, base)
    except ValueError:
        return None
    return Numeral(digits.lstrip("0").upper() or "0", base)


def same_numeral(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same numeral, None where neither has a base.

    Where only one names its base, the digits decide: the problem says which base is meant.
    """
    first, second = numeral(gold), numeral(answer)
    if first is None and second is None:
        return None
    if first is not None and second is not None:
        return first == second
    named, other = (first, answer) if first is not None else (second, gold)
    assert named is not None
    return named.digits == (other.strip().lstrip("0").upper() or "0")

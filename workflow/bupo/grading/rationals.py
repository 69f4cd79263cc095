r"""The fast path for numbers: integers, decimals, fractions and mixed numbers are compared without a parser.

Half of the answers that are no integers are such numbers, and most wrong answers to them too. The verdict is
math-verify's: exact where both are written exactly, and to six decimals where one is written as a decimal.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from bupo.grading.integers import SEPARATOR, plain_integer

WHOLE = r"\d{1,3}(?:(?:,|\\,|\{,\}|,\\!)\d{3})+|\d+"
DECIMAL = re.compile(rf"((?:{WHOLE})?)\.(\d+)")
WHOLE_FRACTION = r"\\[dtc]?frac\s*(?:\{\s*(-?\d+)\s*\}|\s(\d)|(\d))\s*(?:\{\s*(-?\d+)\s*\}|(\d))"
FRACTION = re.compile(WHOLE_FRACTION)
MIXED = re.compile(rf"(\d+)\s*(?=\\){WHOLE_FRACTION}")
RATIO = re.compile(r"(\d+)\s*/\s*(\d+)")
LONGEST = 60
DECIMALS = 6


class Number(NamedTuple):
    """A value, and whether it was written as a decimal."""

    value: Fraction
    decimal: bool


def plain_number(text: str) -> Number | None:
    r"""The value of ``text`` where it is only a number as people write them, else None.

    Reads what `plain_integer` reads, decimals, ``\frac{a}{b}`` in its spellings, ``a/b`` and mixed numbers,
    each with one sign before it.
    """
    integer = plain_integer(text)
    if integer is not None:
        return Number(Fraction(integer), False)
    text = text.strip()
    if len(text) > LONGEST or not text.isascii():
        return None
    sign, text = (-1 if text.startswith("-") else 1), re.sub(r"^[+-]\s*", "", text)
    if match := DECIMAL.fullmatch(text):
        whole = SEPARATOR.sub("", match[1]) or "0"
        return Number(sign * Fraction(f"{whole}.{match[2]}"), True)
    whole_part = 0
    if match := MIXED.fullmatch(text):
        whole_part, parts = int(match[1]), match.groups()[1:]
    elif match := FRACTION.fullmatch(text) or RATIO.fullmatch(text):
        parts = match.groups()
    else:
        return None
    above, below = (int(part) for part in parts if part is not None)
    if below == 0 or (whole_part and (above < 0 or below < 0)):
        return None
    return Number(sign * (whole_part + Fraction(above, below)), False)


def same_number(gold: Number, answer: Number) -> bool:
    """Whether two numbers are equal, to six decimals (and five figures) where one is written as a decimal."""
    first, second = gold.value, answer.value
    if first == second or not (gold.decimal or answer.decimal):
        return first == second
    close = abs(first - second) * 10**5 <= max(abs(first), abs(second))
    return close and round(first, DECIMALS) == round(second, DECIMALS)

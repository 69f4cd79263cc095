r"""Cheap checks that keep an answer which only costs time away from the parser.

No gold answer of the benchmarks comes near these bounds, so an answer beyond them cannot be right unless it
is spelled like the gold, and that is checked before.
"""

import re

MAX_ANSWER = 400
MAX_DIGITS = 120
MAX_DEPTH = 24
HUGE_EXPONENT = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*[+-]?\s*\d{6,}")
TOWER = re.compile(r"(?:(?:\^|\*\*)[\s{(]*[0-9a-zA-Z\\]+[\s{(]*){3,}")
NUMERIC_TOWER = re.compile(r"(?:\^|\*\*)[\s{(]*\d+[\s)}]*(?:\^|\*\*)[\s{(]*\d{3,}")
BINOMIAL = re.compile(r"binom\s*\{?\s*\d{5,}")
FACTORIAL = re.compile(r"\d{5,}\s*[)}]?\s*!|!\s*!|![)}\s]+!")


def is_explosive(answer: str) -> bool:
    """Whether reading or simplifying ``answer`` could take time or memory out of proportion."""
    patterns = (HUGE_EXPONENT, TOWER, NUMERIC_TOWER, BINOMIAL, FACTORIAL)
    if any(pattern.search(answer) for pattern in patterns):
        return True
    if re.search(rf"\d{{{MAX_DIGITS}}}", answer):
        return True
    depth = deepest = 0
    for character in answer:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]":
            depth -= 1
    return deepest > MAX_DEPTH

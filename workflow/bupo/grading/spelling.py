r"""LaTeX that the parser misreads or does not read, spelled as it reads it. Nothing is computed here.

The rewritings are of notation and hold for any answer: a degree sign, a sized bracket, ``4.5e33``, a plus or
minus sign that stands for two values, the argument of a function without brackets.
"""

import re
from itertools import product

from bupo.grading.screen import cut

MOST_SIGNS = 3
REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\\\\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm)\]", r"\\\\ "),
        (r"\\[bB]igg?[lrm]?(?=\s*(?:[()\[\]|/]|\\[{}|]))", ""),
        (r"\\(?:displaystyle|textstyle|limits)(?![a-zA-Z])", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\left\s*(?=[(\[|]|\\\{)|\\right\s*(?=[)\]|]|\\\})", ""),
        (r"(?<!\\)\\(?:[;:> ]|q?quad(?![a-zA-Z]))|~", " "),
        (r"(?<!\\)\\!", ""),
        (r"(?<!\\)\\,(?!\d{3}(?!\d))", " "),
        (r"°|\\degrees?(?![a-zA-Z])", r"^\\circ "),
        (
            r"(\\(?:sin|cos|tan|cot|sec|csc))\s*[({]?\s*(\d+(?:\.\d+)?)\s*\^\s*\{?\s*\\circ\s*\}?\s*[)}]?",
            r"\1(\\frac{\2\\pi}{180})",
        ),
        (
            r"(\\(?:sin|cos|tan|cot|sec|csc|ln))\s*(\d+(?:\.\d+)?)\s*([a-zA-Z])(?![a-zA-Z])",
            r"\1(\2\3)",
        ),
        (r"(?<![\w.\\])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?![\w.])", r"\1 \\times 10^{\2}"),
        (r"\\(?:text|mathrm)\s*\{\s*(?:,\s*)?(?:and|or)\s*\}", ", "),
        (r"\^\s*(\d+|[a-zA-Z])", r"^{\1}"),
    )
)


def respelled(text: str) -> str:
    """``text`` in the spelling that goes to the parser."""
    for pattern, replacement in REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return both_signs(text.strip())


def both_signs(text: str) -> str:
    r"""``1 \pm 2, 5`` as ``1 + 2, 1 - 2, 5``; also in ``\{...\}``. Unchanged with more than three signs."""
    if "\\pm" not in text or len(re.findall(r"\\[pm][pm](?![a-zA-Z])", text)) > MOST_SIGNS:
        return text
    if text.startswith("\\{") and text.endswith("\\}"):
        return f"\\{{{both_signs(text[2:-2])}\\}}"
    values = [value for part in cut(text, ",") for value in _values(part)]
    return ", ".join(dict.fromkeys(values))


def _values(part: str) -> list[str]:
    r"""The values of an expression with signs for both; all signs are taken together if one is ``\mp``."""
    count = part.count("\\pm")
    if count == 0:
        return [part.strip()]
    found = []
    for signs in product("+-", repeat=1 if "\\mp" in part else count):
        value = part
        for sign in signs * (count if "\\mp" in part else 1):
            value = re.sub(r"\\pm(?![a-zA-Z])", sign + " ", value, count=1)
        opposite = "-" if signs[0] == "+" else "+"
        value = re.sub(r"\\mp(?![a-zA-Z])", opposite + " ", value).strip()
        found.append(re.sub(r"(^|[=(,{])\s*\+\s*", r"\1", value))
    return found

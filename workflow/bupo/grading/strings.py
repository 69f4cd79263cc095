r"""The rule of the authors' scripts: two answers are equal when their normalised strings are.

The normalisation removes what LaTeX leaves to taste (spacing, ``\left``, ``\dfrac``, units in ``\text``) and
computes nothing: ``0.5`` and ``\frac{1}{2}`` are the only values it identifies beyond spelling.
"""

import re

BRACED = r"\{((?:[^{}]|\{[^{}]*\})*)\}"
WORD_END = r"(?![a-zA-Z])"
UNIT_WORD = r"\{\s*(?!\s*(?:and|or)\b)[a-zA-Z][a-zA-Z .^/0-9]*\}"
UNIT = r"(?<=[0-9}])\s*\\(?:text|mbox|mathrm|textrm)" + UNIT_WORD + r"(?:\^\{?\d\}?)?\s*$"

REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[!,;:> ]|\\q?quad" + WORD_END + "|~", " "),
        (r"\\(?:left|right|displaystyle|limits|[bB]igg?[lr]?)" + WORD_END, ""),
        (r"\\[dtc]frac" + WORD_END, r"\\frac"),
        (r"\\(le|ge)q" + WORD_END, r"\\\1"),
        (r"\\neq" + WORD_END, r"\\ne"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree" + WORD_END + "|°", ""),
        (r"\\?%|\\?\$", ""),
        (UNIT, ""),
        (r"\\(?:text|mbox|mathrm|textrm|textbf|mathbf|operatorname)\s*" + BRACED, r"\1"),
        (r"\s+", ""),
        (r"\\sqrt([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"\\frac([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"\\frac" + BRACED + r"([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"(?<![0-9])\.(?=\d)", "0."),
        (r"(?<=\d)\.0*(?=\D|$)", ""),
        (r"\.$", ""),
        (r"([_^])\{(\w)\}", r"\1\2"),
    )
)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:(?:,|\{,\}|,?\\[!,])\d{3})+(?:\.\d+)?")
RATIO = re.compile(r"(-?)(\d+)/(\d+)")
SHORT_ASSIGNMENT = re.compile(r"[a-zA-Z](?:\([a-z]\))?=")


def normalise(text: str) -> str:
    r"""``text`` in the spelling in which the string rule compares answers."""
    text = text.replace("\u2212", "-").replace("\\\\", "\\")
    compact = re.sub(r"[\s$]", "", text)
    if THOUSANDS.fullmatch(compact):
        text = re.sub(r"[^\d.+-]", "", compact)
    for pattern, replacement in REPLACEMENTS:
        text = pattern.sub(replacement, text)
    if text.count("=") == 1:
        text = SHORT_ASSIGNMENT.sub("", text, count=1)
    if ratio := RATIO.fullmatch(text):
        text = f"{ratio[1]}\\frac{{{ratio[2]}}}{{{ratio[3]}}}"
    return "\\frac{1}{2}" if text == "0.5" else text


def same_string(gold: str, answer: str) -> bool:
    """Whether the two answers have one normalised spelling, and not an empty one."""
    return normalise(gold) == normalise(answer) != ""

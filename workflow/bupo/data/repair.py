"""Repairing problem texts: backslashes that an escape ate, control characters, instructions glued on."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

# A backslash before these letters was once read as an escape, so that one control character stands for both.
EATEN = {
    "\x07": ("a", r"lpha|ngle|pprox|lign|st|rc(?:sin|cos|tan)"),
    "\x08": ("b", r"inom|egin|oxed|eta|ar|ullet|mod|ig[lr]?|ot|ackslash|ecause"),
    "\x0b": ("v", r"ec|ert|arphi|ee|dots"),
    "\x0c": ("f", r"rac|orall|lat|box"),
    "\t": (
        "t",
        r"imes|riangle(?:left|right)?|heta|ext(?:bf|it|rm|tt)?|au|frac|ilde|op"
        r"|o(?=[ \\]*[\\\[({0-9\-])|an(?=\s*[\\^({])",
    ),
    "\r": ("r", r"ight(?:arrow)?|angle|ceil|floor|ho|m(?=\s*[{A-Z])"),
}
EATEN_PATTERN = re.compile(
    "|".join(rf"{re.escape(control)}(?=(?:{rest})(?![a-z]))" for control, (_, rest) in EATEN.items())
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SUSPECT = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")

# Instructions for the model that some copies glue to the problem. The experiment's prompt says this instead.
BOX = r"\\{1,2}boxed\s*\{\s*\}"
INSTRUCTIONS = (
    rf"Let['’]s think step by step and output the final answer within {BOX}\.?",
    rf"(?:Please )?reason step by step,? and put your final answer (?:within|in|inside) {BOX}\.?",
    r"(?:Please )?(?:put|write|return|give|present) your (?:final )?(?:answer|response) "
    rf"(?:within|in|inside) {BOX}\.?",
    r"Please reason step by step\.?",
    r"Let['’]s think step by step\.?",
)
HINTS = ("step by step", "boxed")
REACH = 400  # characters at either end in which an instruction is looked for


def repair_controls(text: str) -> tuple[str, Counter[str]]:
    r"""Put back backslashes that an escape ate (form feed, ``rac``: ``\frac``), drop control characters.

    Returns the text and how many repairs of each kind were made: ``eaten_backslash``, ``line_end``,
    ``control_character``.
    """
    counts: Counter[str] = Counter()
    if SUSPECT.search(text):
        text, counts["eaten_backslash"] = EATEN_PATTERN.subn(lambda m: "\\" + EATEN[m.group()][0], text)
        text, counts["line_end"] = re.subn(r"\r\n?", "\n", text)
        text, counts["control_character"] = CONTROL.subn("", text)
    return text, +counts


@lru_cache(64)
def _instruction_patterns(extra: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    known = "|".join([*(re.escape(text.strip()) for text in extra), *INSTRUCTIONS])
    return re.compile(rf"(?:{known})\s*", re.IGNORECASE), re.compile(rf"(?:{known})\s*\Z", re.IGNORECASE)


def without_instructions(text: str, extra: Sequence[str] = ()) -> str:
    """The text without known instructions, and those in ``extra``, at its start and end; stripped."""
    text = text.strip()
    lower = text.lower()
    if not any(hint in lower for hint in (*HINTS, *(e.strip().lower() for e in extra))):
        return text
    first, last = _instruction_patterns(tuple(e for e in extra if e.strip()))
    if found := first.match(text):
        return text[found.end() :]
    start = max(0, len(text) - REACH)
    if found := last.search(text, start):
        return text[: found.start()].rstrip()
    return text


def clean_problem(text: str, instructions: Sequence[str] = ()) -> tuple[str, Counter[str]]:
    """The problem alone, repaired, and the repairs counted by kind; doing it again changes nothing."""
    total: Counter[str] = Counter()
    while True:
        cleaned, counts = repair_controls(text)
        total += counts
        shorter = without_instructions(cleaned, instructions)
        if shorter != cleaned.strip():
            total["instruction"] += 1
        if shorter == text:
            return text, total
        text = shorter

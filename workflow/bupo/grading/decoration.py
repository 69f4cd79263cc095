r"""What stands around an answer and is not its value: dollar and percent signs, units, a full stop.

A unit counts only where both answers name one that is known here: 15 cm is not 15 m, but 15 is taken for
either, as the problem says in which unit it asks.
"""

import re
from typing import NamedTuple

PERCENT = re.compile(r"(?:\\?%|\\text\{\s*percent\s*\}|\s+percent)\s*$")
WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*\d[^{}]*)\}\.?")
WRAPPED_UNIT = re.compile(
    r"(?:(?<=[0-9})])|(?<=\\pi))(?:\s|\\[,;:> ]|~)*\\(?:text|mbox|mathrm|textrm)"
    r"\{\s*(?!\s*(?:and|or|if|for|where)\b)(?P<name>[a-zA-Z][a-zA-Z .^/0-9-]*?)\s*\}"
    r"(?P<power>\^(?:\d|\{-?\d\}))?\s*$"
)
BARE_UNIT = re.compile(
    r"(?<=[0-9}])\s+(?P<name>[a-zA-Z]{2,}(?: [a-zA-Z]+)*\.?)(?P<power>\^(?:\d|\{\d\}))?\s*$"
)
SIGN_UNIT = re.compile(
    r"(?<=[0-9}])\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})\s*(?:[CF]|\\(?:text|mathrm)\{\s*[CF]\s*\})"
    r"|\^\s*\{?\s*(?:\\prime\s*)+\}?)\s*$"
)
LETTER_UNIT = re.compile(r"(?<=[0-9])\s+(?P<name>[mshgL])(?P<power>\^(?:\d|\{\d\}))?\s*$")
THOUSANDS = re.compile(r"(?<=\d),\\!\s*(?=\d{3}(?!\d))")
VARIABLE = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z](?![a-zA-Z])")

UNITS = {
    name: canonical
    for canonical, names in {
        "mm": "mm millimeter millimetre",
        "cm": "cm centimeter centimetre",
        "m": "m meter metre",
        "km": "km kilometer kilometre",
        "in": "in inch inches",
        "ft": "ft foot feet",
        "yd": "yd yard",
        "mi": "mi mile",
        "ms": "ms millisecond",
        "s": "s sec second",
        "min": "min minute",
        "h": "h hr hour",
        "d": "day",
        "wk": "week",
        "mo": "month",
        "y": "yr year",
        "mg": "mg milligram",
        "g": "g gram",
        "kg": "kg kilogram",
        "oz": "oz ounce",
        "lb": "lb pound",
        "L": "l liter litre",
        "mL": "ml milliliter millilitre",
        "cent": "cent",
        "dollar": "dollar",
        "degree": "deg degree",
        "radian": "rad radian",
        "m/s": "m/s",
        "km/h": "km/h kmh kph",
        "mi/h": "mph",
        "Hz": "hz hertz",
    }.items()
    for name in names.split()
}


class Plain(NamedTuple):
    """An answer without its decoration.

    Attributes:
        text: what is left.
        percent: whether there was a percent sign.
        unit: canonical name of its unit with its power, None where there is none or it is not known.
    """

    text: str
    percent: bool = False
    unit: str | None = None


def undecorated(text: str, letters_are_units: bool = False) -> Plain:
    r"""``text`` without dollar signs, units, a full stop and the percent sign at the end.

    Args:
        text: an answer.
        letters_are_units: whether one bare letter behind a number is a unit (``5 m``): where the gold has no
            variable.
    """
    text = text.strip().replace("\u2212", "-").replace("\n", " ")
    while match := WRAPPED.fullmatch(text):
        text = match[1].strip()
    text = THOUSANDS.sub(",", text).replace("\\$", "").replace("$", "").strip()
    text = re.sub(r"(?<!\.)\.$", "", text)
    without = PERCENT.sub("", text)
    percent, text, unit = without != text, SIGN_UNIT.sub("", without).strip(), None
    while found := _last_unit(text, letters_are_units):
        text = text[: found.start()].rstrip()
        unit = "several" if unit else _canonical(found["name"], found["power"])
    return Plain(text, percent, None if unit == "several" else unit)


def has_variable(text: str) -> bool:
    """Whether a letter stands alone in ``text``, as a variable does."""
    return VARIABLE.search(text) is not None


def _last_unit(text: str, letters_are_units: bool) -> re.Match[str] | None:
    match = WRAPPED_UNIT.search(text)
    if match is None and (match := BARE_UNIT.search(text)):
        known = all(_known(word) or len(word) > 3 for word in match["name"].rstrip(".").split())
        match = match if known and not re.search(r"\b(?:and|or)\b", match["name"]) else None
    return match or (LETTER_UNIT.search(text) if letters_are_units else None)


def _known(word: str) -> str | None:
    word = word.lower().rstrip(".")
    return UNITS.get(word) or UNITS.get(word.removesuffix("s"))


def _canonical(name: str, power: str | None) -> str | None:
    words = name.split()
    exponent = (power or "").strip("^{}") or "1"
    if words and words[0].lower() in ("square", "sq", "sq.", "cubic", "cu"):
        exponent = "2" if words[0].lower().startswith("sq") else "3"
        words = words[1:]
    known = _known(words[0]) if len(words) == 1 else None
    return f"{known}^{exponent}" if known else None

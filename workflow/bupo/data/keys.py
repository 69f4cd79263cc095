"""Keys under which equal problems fall together, and what tells apart those that only look equal."""

import re
import unicodedata

# Ways of writing that leave the mathematics as it is.
COMMANDS = re.compile(
    r"\\(?:left|right|displaystyle|limits|bigg?|Bigg?|quad|qquad|[!,;: ])(?![a-zA-Z])|\\[()\[\]]"
)
VARIANT = re.compile(r"\\[dtc](?=(?:frac|binom)(?![a-zA-Z]))")
SPACING = str.maketrans("", "", " \t\n{}$?")
STOPS = re.compile(r"(?<!\d)[.,:;]+|[.,:;]+(?!\d)")
NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")
PICTURE = re.compile(
    r"\[asy\].*?\[/asy\]|\\begin\{asy\}.*?\\end\{asy\}|\\begin\{tikzpicture\}.*?\\end\{tikzpicture\}",
    re.DOTALL,
)
THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\,|,\\!|,)(?=\d{3}(?!\d))")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SIGNS = re.compile(r"(?<![A-Za-z])-|-(?![A-Za-z])|[+*/^<>=!×÷±]")


def exact_key(text: str) -> str:
    r"""The text without spacing, braces, dollar signs, full stops and LaTeX variants (``\dfrac``).

    Mathematical signs, decimal points and the case of letters stay.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("−", "-").replace("’", "'")
    if "\\" in text:
        text = COMMANDS.sub("", VARIANT.sub(r"\\", text))
    return STOPS.sub("", text.translate(SPACING))


def letters_key(text: str) -> str:
    """The text's letters and digits in lower case: copies with other punctuation or mark-up fall together."""
    return NOT_LETTER_OR_DIGIT.sub("", exact_key(text)).casefold()


def without_pictures(text: str) -> str:
    """The text without drawings in Asymptote or TikZ code, which some copies have and others do not."""
    return PICTURE.sub(" ", text)


def has_picture(text: str) -> bool:
    """Whether a text contains a drawing."""
    return PICTURE.search(text) is not None


def marks(text: str) -> tuple[tuple[str, ...], str]:
    """The numbers and the mathematical signs of a text, in order.

    They tell ``3 + 4`` from ``3 - 4``, ``3.5`` from ``35`` and "mod 8" from "mod 9", which share their
    letters or nearly all their words.
    """
    return tuple(NUMBER.findall(THOUSANDS.sub("", text))), "".join(SIGNS.findall(exact_key(text)))

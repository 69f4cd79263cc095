r"""Finding the answer in a response: the content of its last ``\boxed``."""

import re

BOX = re.compile(r"\\f?boxed(?![a-zA-Z])")
BARE = re.compile(r"[^\s${}\\,;]+|\\[a-zA-Z]+")


def last_boxed(text: str) -> str | None:
    r"""Content of the last ``\boxed{...}`` (braces balanced) or ``\boxed 2`` of ``text``.

    ``\fbox``-like spellings count only as ``\fboxed``; an escaped brace ``\{`` is no brace. None where there
    is no box or where the last one is never closed: a response that was cut off has given no answer, and
    an earlier box of it is not one either. Linear in the length of ``text``.
    """
    last = None
    for last in BOX.finditer(text):  # noqa: B007  (the loop only looks for the last match)
        pass
    if last is None:
        return None
    start = last.end()
    while start < len(text) and text[start] in " \t\n":
        start += 1
    if text[start : start + 1] == "{":
        end = closing_brace(text, start)
        return None if end is None else text[start + 1 : end].strip()
    bare = BARE.match(text, start)
    return bare.group().rstrip(".") or None if bare else None


def closing_brace(text: str, start: int) -> int | None:
    """Index of the brace that closes the one at ``text[start]``, or None."""
    depth = 0
    position = start
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return None

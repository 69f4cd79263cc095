r"""Gold answers of the common shapes, which the grader's parser is sure to read: told here without asking it.

Two answers in three that are no integers are made of numbers, fractions, roots, pi, single letters and
powers. Asking the parser costs milliseconds each, half a minute for a training set of 40,000. What this
module accepts the parser must read (a test asks it); what it does not accept is asked.
"""

import re

TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<letter>\\pi(?![a-zA-Z])|[a-df-hj-zA-Z](?![a-zA-Z]))"
    r"|(?P<frac>\\[dt]?frac(?=\s*\{))|(?P<sqrt>\\sqrt(?=\s*\{))|(?P<times>\\cdot(?![a-zA-Z]))"
    r"|(?P<sign>[-+^{}(),/]))"
)


UNSURE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z].*\s|\s.*(?<![\\a-zA-Z])[a-zA-Z]", re.DOTALL)


class _NotSimple(Exception):
    pass


def is_simple(answer: str) -> bool:
    """Whether an answer is an expression of a common shape, several with commas between, or a tuple of them.

    Letters with white space are left to the parser, which takes some for units (``a + b + c``).
    """
    if len(answer) > 200 or UNSURE.search(answer):
        return False
    try:
        _Reader(answer).answer()
    except (_NotSimple, RecursionError):
        return False
    return True


class _Reader:
    """Recursive descent over the tokens of one answer."""

    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                raise _NotSimple
            kind = match.lastgroup or ""
            token = match[kind]
            self.tokens.append((token if kind == "sign" else kind, token))
            position = match.end()
        self.tokens.append(("end", ""))
        self.at = 0

    def kind(self) -> str:
        return self.tokens[self.at][0]

    def take(self, kind: str) -> None:
        if self.kind() != kind:
            raise _NotSimple
        self.at += 1

    def answer(self) -> None:
        if self.kind() == "(" and self._tuple():
            return
        self.expressions()
        self.take("end")

    def _tuple(self) -> bool:
        start = self.at
        try:
            self.take("(")
            self.expressions()
            self.take(")")
            self.take("end")
        except _NotSimple:
            self.at = start
            return False
        return True

    def expressions(self) -> None:
        self.expression()
        while self.kind() == ",":
            self.at += 1
            self.expression()

    def expression(self) -> None:
        if self.kind() in "+-":
            self.at += 1
        self.term()
        while self.kind() in ("+", "-"):
            self.at += 1
            self.term()

    def term(self) -> None:
        self.factor()
        while self.kind() in ("letter", "frac", "sqrt", "(", "times", "/"):
            if self.kind() in ("times", "/"):
                self.at += 1
            self.factor()

    def factor(self) -> None:
        kind = self.kind()
        if kind in ("number", "letter"):
            self.at += 1
        elif kind == "(":
            self.take("(")
            self.expression()
            self.take(")")
        elif kind == "sqrt":
            self.at += 1
            self.braced()
        elif kind == "frac":
            self.at += 1
            self.braced()
            self.braced()
        else:
            raise _NotSimple
        if self.kind() == "^":
            self.at += 1
            if self.kind() == "number" and len(self.tokens[self.at][1]) == 1:
                self.at += 1
            else:
                self.braced()

    def braced(self) -> None:
        self.take("{")
        self.expression()
        self.take("}")

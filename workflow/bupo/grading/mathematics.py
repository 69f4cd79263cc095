r"""Comparing two answers as mathematics, in the worker of the grading child.

math-verify reads LaTeX and compares sets, tuples, intervals, matrices and relations. Plain expressions are
compared by value first: two that differ at a point where both are numbers are not equal, and no
simplification has to find that out. That is also where decimals are put right: math-verify takes 3e-10 for
7e-12, since both are 0 to six decimals, and 8.7 \times 10^8 for something else than 870000000.
"""

from functools import lru_cache
from math import isfinite
from typing import Any, TypeAlias

import sympy
from antlr4.atn.PredictionMode import PredictionMode
from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy
from latex2sympy2_extended.math_normalization import NormalizationConfig, normalize_latex
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from math_verify.parser import get_last_eq
from sympy import Basic, E, Expr, Float, I, Interval, MatrixBase, Mul, Symbol, Tuple, Union, nsimplify

SPELLING = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
)
POINTS = (0.7310585, 3.0, -1.3132616, 2.0, 5.0, -0.4337808, 7.0, 1.6457513, -4.0, 11.0, 0.1192029, -2.718)
DIGITS = 15
DIFFERENT = 1e-5  # relative; six decimals of a number near 0.1, which is as much as math-verify asks for
SAME = 1e-9
LONGEST_KEY = 200
POLE = 1e12
AGREEING = 6  # points at which two expressions have to agree to be one

Parsed: TypeAlias = Any  # Basic | MatrixBase; sympy has no types


def compare(gold: str, answer: str | None) -> dict[str, Any]:
    """``status`` of an answer, and ``key``, under which equal wrong answers vote together.

    Args:
        gold: the gold answer.
        answer: to compare with it; None to ask only whether the gold can be read (``read`` or
            ``unreadable``).
    """
    sympy.core.random.seed(0)  # sympy tests some equalities at random points
    wanted = read(gold)
    if answer is None:
        read_as = None if wanted is None else spelled(wanted)
        return {"status": "unreadable" if wanted is None else "read", "key": read_as}
    given = read(answer)
    if given is None:
        return {"status": "unreadable", "key": None}
    if wanted is not None and equal(wanted, given):
        return {"status": "correct", "key": None}
    return {"status": "wrong", "key": spelled(given)}


class Reader(_Latex2Sympy):
    """math-verify's parser of LaTeX, with the way in which it looks ahead.

    SLL is six times as fast as LL, its default; it makes the same of a text or fails (ANTLR's documentation
    of ``PredictionMode``), so that LL is for what SLL cannot read.
    """

    def __init__(self, latex: str, mode: int) -> None:
        super().__init__(is_real=not should_treat_as_complex(latex))
        self.mode = mode

    def create_parser(self, latex_str: str) -> Any:
        """The parser of a text."""
        parser = super().create_parser(latex_str)
        parser._interp.predictionMode = self.mode
        return parser


@lru_cache(256)
def read(text: str) -> Parsed | None:
    """``text`` as an expression, None where the parser makes nothing of it."""
    latex = normalize_latex(text, SPELLING)
    for part in dict.fromkeys((latex, get_last_eq(latex))):
        for mode in (PredictionMode.SLL, PredictionMode.LL):
            try:
                parsed = Reader(part, mode).parse(part)
            except MemoryError:
                raise
            except Exception:  # of the parser for what it cannot read, and of sympy for what cannot be
                continue
            return parsed if isinstance(parsed, Basic | MatrixBase) else None
    return None


def spelled(value: Parsed) -> str | None:
    """How a value is written; numbers that are equal are mostly written alike."""
    try:
        if getattr(value, "is_number", False):
            return str(nsimplify(value.doit(), rational=True))[:LONGEST_KEY]
    except MemoryError:
        raise
    except Exception:  # sympy has many ways to fail, and Python writes no integer of 5,000 digits
        pass
    try:
        return str(value)[:LONGEST_KEY]
    except Exception:
        return None


def equal(gold: Parsed, answer: Parsed) -> bool:
    """Whether two parsed answers are equal."""
    by_value = same_value(gold, answer)
    if by_value is not None:
        return by_value
    if verified(gold, answer):
        return True
    complex_gold, complex_answer = with_imaginary_unit(gold), with_imaginary_unit(answer)
    changed = complex_gold is not gold or complex_answer is not answer
    return changed and verified(complex_gold, complex_answer)


def verified(gold: Parsed, answer: Parsed) -> bool:
    """math-verify's own verdict; x > 5 is the interval that it describes."""
    return verify([gold], [answer], allow_set_relation_comp=True, timeout_seconds=None)


def same_value(gold: Parsed, answer: Parsed) -> bool | None:
    """Whether two expressions have the same values; None where values do not decide it."""
    if isinstance(gold, Expr) and isinstance(answer, Tuple | Interval | Union):
        return False
    if not (isinstance(gold, Expr) and isinstance(answer, Expr)) or is_word(gold) or is_word(answer):
        return None
    gold, answer = with_imaginary_unit(gold), with_imaginary_unit(answer)
    names = sorted(gold.free_symbols | answer.free_symbols, key=str)
    if not names:
        distance = relative_distance(gold, answer, {})
        if distance is None or DIFFERENT > distance > SAME:
            return None
        decimal = gold.has(Float) or answer.has(Float)
        return False if distance >= DIFFERENT else True if decimal else None
    return same_function(gold, answer, names)


def is_word(value: Expr) -> bool:
    """Whether math-verify may take a value for a word: a letter, or letters side by side."""
    return all(isinstance(part, Symbol) or part is E for part in Mul.make_args(value))


def same_function(gold: Expr, answer: Expr, names: list[Any]) -> bool | None:
    """Whether two expressions agree at whole and broken, positive and negative points where both are real."""
    agreeing = 0
    real = not (gold.has(I) or answer.has(I))
    for tried in range(1, len(POINTS) + 1):
        point = {name: POINTS[(tried + 5 * place) % len(POINTS)] for place, name in enumerate(names)}
        distance = relative_distance(gold, answer, point, real)
        if distance is not None and distance >= DIFFERENT:
            return False
        agreeing += distance is not None and distance <= SAME
        if agreeing == AGREEING:
            return True
        if tried == AGREEING and not agreeing:
            return None
    return None


def relative_distance(gold: Expr, answer: Expr, point: dict[Any, float], real: bool = False) -> float | None:
    """|a - b| over the larger of both at a point; None where one is no finite (real) number there."""
    try:
        values = [complex(expression.evalf(DIGITS, subs=point)) for expression in (gold, answer)]
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    largest = max(map(abs, values))
    if not isfinite(largest) or (point and largest > POLE):
        return None
    if real and any(abs(value.imag) > SAME * abs(value) for value in values):
        return None
    # Close to nothing the value may be what rounding has left of a 0.
    return abs(values[0] - values[1]) / largest if largest > 1e-40 else None


def with_imaginary_unit(parsed: Parsed) -> Parsed:
    """A parsed expression with the variable i, as math-verify reads it, replaced by the imaginary unit."""
    units = [symbol for symbol in getattr(parsed, "free_symbols", ()) if symbol.name == "i"]
    return parsed.subs(dict.fromkeys(units, I)) if units else parsed

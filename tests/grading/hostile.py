r"""200 responses made to hang a grader, to eat its memory, or to make it act. Used by the tests and the benchmark.

None of them answers the gold ``\frac{7}{3}``.
"""

from collections.abc import Iterator
from pathlib import Path

GOLD = r"\frac{7}{3}"
MILLION = 1_000_000


def hostile_responses(target: Path, port: int) -> list[str]:
    """The responses.

    Args:
        target: a path that those which write would create.
        port: of a listener on this machine that those which connect would call.
    """
    found = [rf"So \boxed{{{answer}}}" for answer in (*towers(), *combinatorial(), *algebra(), *analysis())]
    found += [rf"So \boxed{{{answer}}}" for answer in (*nesting(), *malformed(), *code(str(target), port))]
    return [*found, *long_responses()]


def towers() -> Iterator[str]:
    """Powers whose value has no room in this world."""
    for base, height in ((9, 3), (9, 5), (2, 6), (7, 30)):
        yield "^{".join([str(base)] * height) + "}" * (height - 1)
        yield "^".join([str(base)] * height)
    yield from (
        "2^{99999999}",
        "3^{3^{27}}",
        "10^{10^{10}}",
        "(9^9)^{9^{9}}",
        "((((2^9)^9)^9)^9)^9",
        "9!^{9!^{9!}}",
    )
    yield from (
        r"\left(9^{9}\right)^{\left(9^{9}\right)}",
        r"\exp(\exp(\exp(\exp(99))))",
        r"e^{e^{e^{e^{9}}}}",
    )
    yield from (
        r"2^{2^{2^{2^{2^{x}}}}}",
        r"x^{x^{x^{x^{x}}}}",
        "99999^{99999}",
        "12345^{67890}",
        "7^{1000000007}",
    )
    yield from (
        r"\sqrt[3]{9^{9^{9}}}",
        "0.5^{-99999999}",
        "(1+10^{-9})^{10^{12}}",
        r"\frac{9^{99999}}{9^{99998}}",
    )


def combinatorial() -> Iterator[str]:
    """Factorials, binomials, sums and products of many terms."""
    yield from ("99999!", "9!!!!!!", "((9!)!)!", "(10^9)!", "123456!", "3!!!!!!!!!!", "5000!", "20000!-1")
    yield from (
        r"\binom{1000000}{500000}",
        r"\binom{99999}{44444}",
        r"\binom{10^9}{10^8}",
        r"\binom{5000}{2500}",
    )
    yield from (
        r"\sum_{k=1}^{10^{9}} \frac{1}{k^k}",
        r"\prod_{k=1}^{99999} (k+1)",
        r"\sum_{n=1}^{\infty} n^{-n}",
    )
    yield from (
        r"\sum_{i=1}^{999}\sum_{j=1}^{999} \frac{i}{j+i}",
        r"\prod_{n=1}^{\infty} (1-2^{-n})",
        r"\sum_{p=1}^{9999} p!",
    )
    yield from (
        r"\gcd(10^{99}+1, 10^{98}+7)",
        r"10^{99999} \mod 7",
        r"\lfloor 10^{5000} \pi \rfloor",
        r"\operatorname{lcm}(1,2,3)!",
    )


def algebra() -> Iterator[str]:
    """Expressions that expand, factor or solve without end."""
    for power in (40, 400, 4000):
        yield f"(x+y+z+w)^{{{power}}}-1"
        yield rf"\left(x^{{{power}}}-1\right)\left(y^{{{power}}}+1\right)"
    yield "+".join(f"x_{{{n}}}^{{{n}}}" for n in range(2, 40))
    yield "+".join(rf"\sqrt{{{n}}}" for n in range(2, 45))
    yield "".join(rf"(x-{n})" for n in range(50))
    yield r"\sqrt{" * 20 + "2" + "+1}" * 20
    yield r"\sqrt{2+" * 20 + "x" + "}" * 20
    yield r"\frac{1}{1+" * 20 + "x" + "}" * 20
    yield "+".join(rf"\sqrt[{n}]{{{n + 1}}}" for n in range(3, 24))
    yield "x^9+y^9=(x+y)^9, x^7-y^7=3, xyz=1, x^2+y^2+z^2=7"
    yield "x^{17}+3x^{13}-7x^5+x+11=0"
    yield r"\sin(x)^{50}+\cos(x)^{50}+\tan(x)^{50}"
    yield r"\begin{pmatrix}" + r"\\".join("&".join(["x+1"] * 7) for _ in range(7)) + r"\end{pmatrix}"
    yield r"\begin{pmatrix}" + r"\\".join("&".join(["2"] * 9) for _ in range(9)) + r"\end{pmatrix}^{99}"
    yield (
        r"\det\begin{pmatrix}"
        + r"\\".join("&".join(["a", "b", "c", "d", "e"]) for _ in range(5))
        + r"\end{pmatrix}"
    )
    yield r"\{" + ",".join(str(n) for n in range(95)) + r"\}"
    yield "(" + ",".join(str(n) for n in range(95)) + ")"
    yield r" \cup ".join(f"({n},{n + 1})" for n in range(30))
    yield "<".join(f"x_{n}" for n in range(60))
    yield "=".join(["x"] * 99)
    yield r"\pm " * 90 + "1"
    yield ",".join([r"1 \pm \sqrt{2}"] * 25)


def analysis() -> Iterator[str]:
    """Integrals, limits, derivatives and special functions."""
    yield r"\int_0^\infty \frac{\sin^{20}(x^{7}) e^{x^5}}{\ln(x)+x^{9}} dx"
    yield r"\int_0^1 \int_0^1 \int_0^1 \sin(x y z)^{x+y+z} dx dy dz"
    yield r"\int x^x \sin(x^x) \cos(\ln(x)) dx"
    yield r"\int_{0}^{1} \frac{\ln(1+x)^{7}}{x^{3}+\sqrt{x}} dx"
    yield r"\int " * 30 + "x" + " dx" * 30
    yield r"\lim_{x \to 0} \frac{\sin(\tan(x))-\tan(\sin(x))}{\arcsin(\arctan(x))-\arctan(\arcsin(x))}"
    yield r"\lim_{n \to \infty} \left(1+\frac{\sin n}{n^n}\right)^{n!}"
    yield r"\frac{d}{dx}" * 25 + r"\tan(\sin(x^x))"
    yield r"\sin(" * 22 + "x" + ")" * 22
    yield r"\ln(" * 22 + "7" + ")" * 22
    yield r"\log_{\log_{\log_{2} 3} 5} 7^{99999}"
    yield r"\arctan(10^{999})-\arctan(10^{998})"
    yield r"\sin(10^{40}) \cdot \cos(10^{45})"
    yield r"\left\lfloor e^{\pi\sqrt{163}} \cdot 10^{60} \right\rfloor"
    yield r"|" * 40 + "x" + "|" * 40
    yield r"\Gamma(99999)"


def nesting() -> Iterator[str]:
    """Brackets within brackets."""
    for opening, closing in ("()", "[]", ("\\{", "\\}"), ("{", "}"), (r"\left(", r"\right)")):
        for depth in (15, 60):
            if len(opening) * depth < 350:
                yield opening * depth + "1" + closing * depth
    for depth in (8, 23, 50):
        yield r"\frac{" * depth + "1" + "}{2}" * depth
        yield "((" * depth + "x" + ")^2+1)" * depth
    yield r"\boxed{" * 30 + "1" + "}" * 30
    yield r"\text{" * 30 + "1" + "}" * 30
    yield "-" * 200 + "1"
    yield "1" + "+-" * 150 + "1"


def malformed() -> Iterator[str]:
    """What no parser expects."""
    yield from (
        "\x00\x01\x02",
        "\ud7ff\uffff",
        "\u202e123",
        "𝟕/𝟑𝟑",
        "Ω" * 300,
        "ａ" * 200,
        "\\" * 301,
        "$" * 300,
    )
    yield from (
        "}{" * 90,
        "^_" * 99,
        "&&&" * 50,
        r"\\" * 90,
        r"\frac" * 60,
        r"\sqrt" * 60,
        "1," * 150,
        "." * 350,
    )
    yield from (
        r"\begin{pmatrix}" * 15,
        r"\end{matrix}",
        r"\left(" * 30,
        r"\newcommand{\a}{\a\a}\a",
        "%" * 200,
    )
    yield from (
        "1" * 119,
        "1" * 300,
        "0." + "3" * 350,
        "1e999999999",
        "1e-999999999",
        "-" + "9" * 100 + "e999",
    )
    yield from (
        "a" * 390,
        "1 " * 190,
        "x=" * 150,
        r"\infty^{\infty}-\infty",
        r"\frac{0}{0}",
        r"\frac{1}{0}",
        "nan",
    )
    yield from (
        r"\mathrm{" + "x" * 380 + "}",
        "12 " + "cm " * 120,
        r"5\text{" + " a" * 150 + "}",
        "7/" * 100 + "3",
        "{" * 199,
    )


def code(target: str, port: int) -> Iterator[str]:
    """Programs that write, connect, start processes or read secrets."""
    write, call = (
        f"open('{target}','w').write('x')",
        f"__import__('socket').create_connection(('127.0.0.1',{port}))",
    )
    for act in (
        write,
        call,
        f"__import__('os').system('touch {target}')",
        "__import__('os').fork()",
        "exit()",
        "1/0",
    ):
        yield act
        yield rf"\text{{{act}}}"
        yield f'eval("{act}")'
        yield f"[{act} for x in (1,2)]"
    yield from (
        "().__class__.__base__.__subclasses__()",
        "lambda: 0",
        "import os",
        "while True: pass",
        "x.__class__",
    )
    yield from (
        rf"\input{{{target}}}",
        rf"\write18{{touch {target}}}",
        r"\input{/etc/passwd}",
        r"\openin5=/etc/passwd",
    )
    yield from (
        "print(open('/etc/passwd').read())",
        "globals()",
        "[0]*10**10",
        "'a'*10**10",
        "{i:i for i in range(10**9)}",
    )
    yield from (
        "$(touch " + target + ")",
        "`touch " + target + "`",
        "; touch " + target,
        "<script>alert(1)</script>",
    )


def long_responses() -> Iterator[str]:
    """Responses of a million characters, with and without a box."""
    yield r"So \boxed{" + "1" * MILLION + "}"
    yield r"So \boxed{" + "{" * (MILLION // 2) + "}" * (MILLION // 2) + "}"
    yield r"\boxed{" * (MILLION // 7)
    yield r"\boxed" * (MILLION // 6)
    yield "\\" * MILLION
    yield "x" * MILLION
    yield r"So \boxed{" + r"\frac{1}{" * 99_999 + "}" * 100_000
    yield r"\boxed{" + " " * MILLION + "8}"
    yield r"\boxed" + " " * MILLION + "8"
    yield (r"\boxed{1}" + "$" * 91) * (MILLION // 100)

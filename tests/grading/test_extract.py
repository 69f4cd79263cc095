import pytest

from bupo.grading import last_boxed


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"so \boxed{12}", "12"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\left\{1,2\right\}}", r"\left\{1,2\right\}"),
        (r"\boxed{ {a} {b} } and more }", "{a} {b}"),
        (r"the answer is $\boxed 2$.", "2"),
        (r"\boxed 12.", "12"),
        (r"\boxed  {7}", "7"),
        (r"\boxed\pi$", r"\pi"),
        (r"\boxed{}", ""),
        (r"\boxed{\boxed{3}}", "3"),
        (r"a \\ b \boxed{x \\ y}", r"x \\ y"),
        (r"\boxed{1} but then \boxed{2", None),
        ("no box", None),
        ("", None),
        (r"\boxed", None),
        (r"\boxedsomething{3}", None),
        (r"boxed{3}", None),
    ],
)
def test_last_boxed(text: str, box: str | None):
    assert last_boxed(text) == box


def test_a_million_characters():
    assert last_boxed("\\boxed{" * 200_000) is None
    assert last_boxed("x" * 1_000_000) is None
    assert last_boxed("\\boxed{" + "{" * 500_000 + "}" * 500_000 + "}") == "{" * 500_000 + "}" * 500_000

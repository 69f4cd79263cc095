r"""Problem texts: eaten backslashes come back, glued instructions go, the rest stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bupo.data.repair import INSTRUCTIONS, clean_problem, repair_controls

EATEN = [
    ("$\x0crac{1}{2}$", r"$\frac{1}{2}$"),
    ("$3 \times 4$", r"$3 \times 4$"),
    ("$\triangle ABC$", r"$\triangle ABC$"),
    ("$\\cos\theta$", r"$\cos\theta$"),
    ("\text{if } x", r"\text{if } x"),
    ("$E\to [0,1]$", r"$E\to [0,1]$"),
    ("$\binom{5}{2}$", r"$\binom{5}{2}$"),
    ("\begin{cases}", r"\begin{cases}"),
    ("$\vec{v}$ and $\alpha$", r"$\vec{v}$ and $\alpha$"),
    ("$\\left(x\right)$", r"$\left(x\right)$"),
]


@pytest.mark.parametrize(("broken", "right"), EATEN)
def test_eaten_backslashes_come_back(broken, right):
    assert clean_problem(broken)[0] == right
    assert clean_problem(broken)[1]["eaten_backslash"] >= 1


@pytest.mark.parametrize(
    "text",
    [
        "for i:\n\tdraw((0,0)--(1,1));",
        "A turn:\n\tA player moves",
        "x\tan apple",
        "line\r\nline",
        "a\tb",
        "\tours",
    ],
)
def test_real_tabs_and_line_ends_are_not_taken_for_escapes(text):
    cleaned, counts = clean_problem(text)
    assert "\\" not in cleaned
    assert counts["eaten_backslash"] == 0
    assert "\r" not in cleaned


def test_other_control_characters_go():
    text, counts = repair_controls("a\x00b\x1bc\x9dd")
    assert text == "abcd"
    assert counts == {"control_character": 3}


GLUED = [
    "Let's think step by step and output the final answer within \\boxed{}.",
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "Please put your final answer within \\boxed{}.",
    "Return your final response within \\boxed{}",
]


@pytest.mark.parametrize("instruction", GLUED)
@pytest.mark.parametrize("shape", ["{i}\n\n{p}", "{p} {i}", "{p}\n{i}\n", "{i} {p} {i}"])
def test_glued_instructions_go(instruction, shape):
    problem = "What is $1+1$? Show the box."
    cleaned, counts = clean_problem(shape.format(i=instruction, p=problem))
    assert cleaned == problem
    assert counts["instruction"] >= 1


def test_an_instruction_in_the_middle_stays():
    text = "Ann says: let's think step by step. Then she adds 1 and 2. What does she get?"
    assert clean_problem(text)[0] == text


def test_a_sets_own_instructions():
    text = "Answer in one word. Which month follows May? Think!"
    assert clean_problem(text, ["answer in one word.", "Think!"])[0] == "Which month follows May?"


def test_a_problem_that_is_only_an_instruction_is_empty():
    assert clean_problem("Please reason step by step.")[0] == ""


TEXT = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from([*GLUED, *[broken for broken, _ in EATEN], "\x0c", "\t", "\r\n", "\\", " "]),
    ),
    max_size=8,
).map("".join)


@given(TEXT)
def test_cleaning_twice_is_cleaning_once(text):
    once, _ = clean_problem(text)
    twice, counts = clean_problem(once)
    assert twice == once
    assert not counts


@given(st.text(alphabet="abc 123$\\{}+-=.\n", max_size=200))
def test_sound_text_is_only_stripped(text):
    assert clean_problem(text) == (text.strip(), {})


def test_long_white_space_is_no_trap():
    cleaned, _ = clean_problem("boxed" + " " * 100_000 + "x")
    assert cleaned.endswith("x")
    assert len(INSTRUCTIONS) >= 4

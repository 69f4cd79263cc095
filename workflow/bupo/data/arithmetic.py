"""Arithmetic word problems in plain English, made from a seed, with worked solutions.

A problem is a story of one to three steps; its solution works them one by one::

    Tom has 12 apples. He buys 7 more. He gives 4 to Ann. How many apples does Tom have now?
    12+7=19, 19-4=15. \\boxed{15}

Which split a problem can be in is decided by the hash of its calculation (the worked solution). So no
problem of one split occurs in another, not even retold with other names: the splits are disjoint by
construction, whatever the seeds and the numbers of problems. A held-out list, moreover, holds no calculation
twice.
"""

from dataclasses import dataclass
from random import Random

from bupo.data.arithmetic_story import Step, tell
from bupo.errors import UserError
from bupo.files import sha256_text

# Share of all calculations that belongs to each split, in percent.
SPLITS = {"warmup": 60, "train": 20, "heldout": 20}
# A problem's level is its number of steps.
DIFFICULTIES = {"easy": (1, 2), "hard": (2, 3), "mixed": (1, 2, 3)}
# The largest number told, the largest result and the largest factor or divisor: so small that a tiny model
# learns them in a minute.
LARGEST, TOTAL, FACTOR = 10, 20, 5


@dataclass(frozen=True)
class Problem:
    """A word problem; ``solution`` ends in its ``\\boxed{}``, ``operation`` names its operations in order."""

    problem: str
    answer: str
    solution: str
    operation: str
    level: str


def problems(split: str, n: int, difficulty: str, seed: int) -> list[Problem]:
    """``n`` different problems of a split.

    Args:
        split: ``warmup``, ``train`` or ``heldout``.
        n: how many; the first n of a longer list are the shorter list.
        difficulty: ``easy`` (one or two steps), ``hard`` (two or three) or ``mixed`` (one to three).
        seed: the same arguments always give the same problems, on every machine.

    Raises:
        UserError: for an unknown split or difficulty, or when there are not that many different problems.
    """
    if split not in SPLITS:
        raise UserError(f"arithmetic problems: split is {split!r}; it can be {', '.join(SPLITS)}")
    if difficulty not in DIFFICULTIES:
        raise UserError(
            f"arithmetic problems: difficulty is {difficulty!r}; it can be {', '.join(DIFFICULTIES)}"
        )
    rng = Random(f"arithmetic {split} {difficulty} {seed}")
    found: dict[str, Problem] = {}
    repeats = 0
    while len(found) < n:
        level = rng.choice(DIFFICULTIES[difficulty])
        problem = draw(rng, level)
        while split_of(problem) != split:
            problem = draw(rng, level)
        key = problem.solution if split == "heldout" else problem.problem
        repeats = repeats + 1 if key in found else 0
        if repeats > 1000:
            raise UserError(
                f"arithmetic problems: {n} different {difficulty} problems of split {split} were asked for, "
                f"about {len(found)} exist; ask for fewer"
            )
        found.setdefault(key, problem)
    return list(found.values())


def split_of(problem: Problem) -> str:
    """The only split that ``problem`` can be in."""
    bucket = int(sha256_text(problem.solution)[:8], 16) % 100
    for split, share in SPLITS.items():
        if bucket < share:
            return split
        bucket -= share
    raise AssertionError("the shares of the splits add up to 100")


def draw(rng: Random, level: int) -> Problem:
    """One problem of a level (number of steps), of any split."""
    steps = None
    while steps is None:
        steps = _draw_steps(rng, level)
    answer = steps[-1].result
    return Problem(
        problem=tell(steps, rng),
        answer=str(answer),
        solution=f"{', '.join(step.equation() for step in steps)}. \\boxed{{{answer}}}",
        operation=", ".join(step.operation for step in steps),
        level=str(level),
    )


def drill(rng: Random, n: int) -> str:
    """``n`` calculations without a story, each going on from the one before: ``7+5=12, 12/4=3, 3*5=15.``"""
    steps: list[Step] = []
    while len(steps) < n:
        left = steps[-1].result if steps else rng.randint(2, LARGEST)
        step = _draw_step(rng, rng.choice(("gain", "loss", "times", "share")), left)
        if step:
            steps.append(step)
    return ", ".join(step.equation() for step in steps) + "."


def _draw_steps(rng: Random, n: int) -> list[Step] | None:
    """``n`` steps, or None where the drawn numbers do not fit (a rest is left, a result is too large)."""
    kinds = [rng.choice(("gain", "loss")) for _ in range(n)]
    if n == 1:
        kinds = [rng.choice(("packs", "gain", "loss", "times", "share"))]
    else:
        kinds[0] = rng.choice(("packs", "gain", "loss"))
        kinds[-1] = rng.choice(("gain", "loss", "times", "share"))
    first = rng.randint(2, FACTOR if kinds[0] == "packs" else LARGEST)
    steps: list[Step] = []
    for kind in kinds:
        step = _draw_step(rng, kind, steps[-1].result if steps else first)
        if step is None:
            return None
        steps.append(step)
    return steps


def _draw_step(rng: Random, kind: str, left: int) -> Step | None:
    """One step from ``left`` on, or None where the drawn number does not fit."""
    right = rng.randint(2, LARGEST if kind in ("gain", "loss") else FACTOR)
    if kind == "share" and left % right:
        return None
    result = {
        "packs": left * right,
        "gain": left + right,
        "loss": left - right,
        "times": left * right,
        "share": left // right,
    }[kind]
    return Step(kind, left, right, result) if 1 <= result <= TOTAL else None

"""How an arithmetic story is told: the sentences, the names and the question."""

from dataclasses import dataclass
from random import Random

PEOPLE = (
    ("Tom", "He", "him"),
    ("Ann", "She", "her"),
    ("Ben", "He", "him"),
    ("Eva", "She", "her"),
    ("Sam", "He", "him"),
    ("Mia", "She", "her"),
    ("Max", "He", "him"),
    ("Zoe", "She", "her"),
)
THINGS = ("apples", "books", "cards", "coins", "eggs", "pens", "shells", "stamps")
CONTAINERS = ("bags", "boxes")

GAINS = ("{he} buys {n} more.", "{he} finds {n} more.", "{other} gives {him} {n} more.")
LOSSES = ("{he} gives {n} to {other}.", "{he} loses {n}.", "{he} sells {n}.")


@dataclass(frozen=True)
class Step:
    """One calculation ``left symbol right = result`` of a story, told in the way ``kind`` says.

    ``kind`` is ``packs`` (a boxes of b things, only as the first step), ``gain``, ``loss``, ``times``
    (somebody has n times as many) or ``share`` (equal shares); the last two only end a story.
    """

    kind: str
    left: int
    right: int
    result: int

    @property
    def operation(self) -> str:
        """The name of the operation, such as ``addition``."""
        return OPERATIONS[self.kind][0]

    def equation(self) -> str:
        """The step as it stands in a worked solution, such as ``12+7=19``."""
        return f"{self.left}{OPERATIONS[self.kind][1]}{self.right}={self.result}"


OPERATIONS = {
    "packs": ("multiplication", "*"),
    "gain": ("addition", "+"),
    "loss": ("subtraction", "-"),
    "times": ("multiplication", "*"),
    "share": ("sharing", "/"),
}


def tell(steps: list[Step], rng: Random) -> str:
    """The problem text for ``steps``; ``rng`` chooses people, things and wording."""
    (name, he, him), (other, *_), (third, *_) = rng.sample(PEOPLE, 3)
    thing = rng.choice(THINGS)
    first = steps[0]
    if first.kind == "packs":
        sentences = [f"{name} has {first.left} {rng.choice(CONTAINERS)} of {first.right} {thing}."]
    else:
        sentences = [f"{name} has {first.left} {thing}."]
    question = f"How many {thing} does {name} have{'' if steps[-1].kind == 'packs' else ' now'}?"
    for step in steps:
        if step.kind == "gain":
            sentences.append(rng.choice(GAINS).format(he=he, him=him, other=other, n=step.right))
        elif step.kind == "loss":
            sentences.append(rng.choice(LOSSES).format(he=he, other=other, n=step.right))
        elif step.kind == "times":
            sentences.append(f"{third} has {step.right} times as many.")
            question = f"How many {thing} does {third} have?"
        elif step.kind == "share":
            sentences.append(f"{he} shares them equally among {step.right} friends.")
            question = f"How many {thing} does each friend get?"
    return " ".join([*sentences, question])

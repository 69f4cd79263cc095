"""The warm-up's material: drills, then problems with a teacher's worked solutions, as batches of tokens."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from transformers import PreTrainedTokenizerFast

from bupo.data.arithmetic import Problem, drill, problems
from bupo.data.prompts import PROMPTS
from bupo.models.config import WarmUpConfig

# Slips of a teacher who gets the units or the tens of the last result wrong.
SLIPS = (-10, -2, -1, 1, 2, 10)
# What a drill answers, and how many calculations it has: about as long as a problem with its solution.
DRILL_PROMPT, DRILL_LENGTH = "Practice.", 6
# Problems of about the same length stand in one batch: sorted within so many batches, then shuffled again.
SORTED_BATCHES = 16
# Label of a position that is not trained on, as cross_entropy has it.
IGNORED = -100


@dataclass(frozen=True)
class Lesson:
    """Token ids of a prompt and of the response to it, end of turn included."""

    prompt: list[int]
    response: list[int]

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.prompt) + len(self.response)


def taught_solution(problem: Problem, error_rate: float, rng: Random) -> str:
    """The worked solution, or one whose last result is wrong.

    A share 1 - (1 - error_rate)^n of the last results of n steps is wrong, as if each step could go wrong.
    Everything before stays right, so that the model learns to calculate but is often unsure of its last
    word: the mass that reinforcement learning can move.
    """
    steps = int(problem.level)
    if rng.random() < (1 - error_rate) ** steps:
        return problem.solution
    right = int(problem.answer)
    wrong = rng.choice([right + slip for slip in SLIPS if right + slip >= 0])
    calculation = problem.solution[: problem.solution.rindex("=")]
    return f"{calculation}={wrong}. \\boxed{{{wrong}}}"


def make_lessons(
    config: WarmUpConfig, prompt: str, tokenizer: PreTrainedTokenizerFast, seed: int
) -> list[Lesson]:
    """Lessons for all steps of the warm-up: drills first, then problems, each in random order."""
    rng = Random(f"teacher {seed}")
    n_drills = round(config.drill_share * config.steps) * config.batch_size
    found = problems("warmup", config.steps * config.batch_size - n_drills, config.difficulty, seed)
    texts = [DRILL_PROMPT] * n_drills + [problem.problem for problem in found]
    prompts = [PROMPTS[prompt].render(tokenizer, text) for text in texts]
    responses = [drill(rng, DRILL_LENGTH) for _ in range(n_drills)]
    responses += [taught_solution(problem, config.error_rate, rng) for problem in found]
    turns = [response + str(tokenizer.eos_token) for response in responses]
    encoded = tokenizer([*prompts, *turns], add_special_tokens=False)["input_ids"]
    return [Lesson(*pair) for pair in zip(encoded[: len(texts)], encoded[len(texts) :], strict=True)]


def batches(
    lessons: list[Lesson], batch_size: int, pad: int, seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Input ids and labels, both (batch_size, length), padded on the right.

    The label of position t is the token at t + 1 where that is a token of a response, else `IGNORED`. The
    padding needs no attention mask: no position looks to its right.
    """
    rng = Random(f"batches {seed}")
    window = batch_size * SORTED_BATCHES
    for start in range(0, len(lessons), window):
        ordered = sorted(lessons[start : start + window], key=len)
        groups = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
        rng.shuffle(groups)
        for group in groups:
            length = max(map(len, group)) - 1
            inputs = torch.full((len(group), length), pad)
            labels = torch.full((len(group), length), IGNORED)
            for row, lesson in enumerate(group):
                tokens = torch.tensor(lesson.prompt + lesson.response)
                inputs[row, : len(lesson) - 1] = tokens[:-1]
                labels[row, len(lesson.prompt) - 1 : len(lesson) - 1] = tokens[len(lesson.prompt) :]
            yield inputs, labels

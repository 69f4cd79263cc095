"""Responses of the model: drawn in batches of consecutive problems, graded, known by their token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bupo.entropy.problems import Problem, render
from bupo.entropy.settings import Analysis
from bupo.errors import UserError
from bupo.grading import Grader
from bupo.sampling import Completion, Request, key_of


@dataclass(frozen=True)
class Response:
    """One response; a row of ``responses.parquet``.

    Attributes:
        response: its text without special tokens.
        response_ids: the last of them is an end token where ``finished``.
        correct, status: the grade, None where the problem has no gold answer.
    """

    set: str
    problem_id: str
    sample: int
    gold: str | None
    response: str
    prompt_ids: list[int]
    response_ids: list[int]
    n_tokens: int
    finished: bool
    correct: bool | None
    status: str | None

    @property
    def positions(self) -> slice:
        """The positions that predict the response's tokens.

        The last position of the prompt predicts the first of them; the position of the last token predicts
        nothing that is part of the response.

        Raises:
            UserError: the response is empty.
        """
        if not self.response_ids:
            raise UserError(f"problem {self.problem_id}, sample {self.sample}: the response is empty.")
        return slice(len(self.prompt_ids) - 1, len(self.prompt_ids) + len(self.response_ids) - 1)


@dataclass(frozen=True)
class Question:
    """One response that is asked for."""

    problem: Problem
    sample: int
    request: Request

    def answered(self, completion: Completion, tokenizer: Any, grader: Grader) -> Response:
        """The graded response."""
        text = tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        grade = None if self.problem.gold is None else grader.grade(self.problem.gold, text)
        return Response(
            self.problem.set,
            self.problem.id,
            self.sample,
            self.problem.gold,
            text,
            list(self.request.prompt_ids),
            list(completion.token_ids),
            len(completion.token_ids),
            completion.finish_reason == "stop",
            None if grade is None else grade.correct,
            None if grade is None else grade.status,
        )


def questions_of(tokenizer: Any, problems: Sequence[Problem], settings: Analysis) -> list[Question]:
    """``settings.samples`` questions for each problem, in the order of ``problems``.

    The random numbers of a response hang on the seed, the problem and the sample's number alone.
    """
    rendered = [(problem, tuple(render(tokenizer, problem, settings.chat_template))) for problem in problems]
    return [
        Question(problem, sample, Request(ids, key_of("entropy", settings.seed, sample, problem.id)))
        for problem, ids in rendered
        for sample in range(settings.samples)
    ]


def parts_of(problems: Sequence[Problem], settings: Analysis) -> list[list[Problem]]:
    """Consecutive problems whose responses fill a batch; the last part may be smaller.

    Rounding in a batched forward hangs on the batch, so that whatever runs whole parts, all of them or a
    shard, draws bitwise the same responses.
    """
    size = max(1, settings.batch_size // settings.samples)
    return [list(problems[start : start + size]) for start in range(0, len(problems), size)]

"""Drawing the responses, part by part, with Hugging Face or vLLM."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bupo.entropy.problems import Problem
from bupo.entropy.responses import Question, Response, questions_of
from bupo.entropy.settings import Analysis
from bupo.entropy.source import LoadedModel
from bupo.grading import Grader
from bupo.progress import Progress
from bupo.sampling import Completion, SamplingSettings, decode, end_tokens, sample_vllm
from bupo.sampling.request import check_room


def draw_responses(
    loaded: LoadedModel, parts: Mapping[int, list[Problem]], settings: Analysis, folder: Path, done: int = 0
) -> Iterator[tuple[int, list[Response]]]:
    """The graded responses of each part, as they are drawn from the model's whole distribution.

    Sampling settings that the model ships with (top-k, penalties, ...) are left out.

    Args:
        loaded: the model.
        parts: the problems of each part by its number.
        settings: of the analysis.
        folder: where vLLM keeps what it has drawn.
        done: how many responses were drawn before, for the progress.

    Raises:
        UserError: the model has no room for a prompt and its response, or a prompt is empty.
    """
    sampling = SamplingSettings(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        end_token_ids=frozenset(end_tokens(loaded.model, loaded.tokenizer)),
        pad_token_id=loaded.tokenizer.pad_token_id or 0,
    )
    room = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    asked = (questions_of(loaded.tokenizer, problems, settings) for problems in parts.values())
    longest = [max((q.request for q in part), key=lambda request: len(request.prompt_ids)) for part in asked]
    check_room(longest, sampling, room)
    total = done + settings.samples * sum(map(len, parts.values()))
    drawing = _Drawing(loaded, settings, sampling, Progress("entropy", total, "responses", done=done), done)
    drawn = drawing.by_vllm(parts, folder) if settings.backend == "vllm" else drawing.by_hugging_face(parts)
    with Grader(settings.grader) as grader:
        for number, questions, completions in drawn:
            pairs = zip(questions, completions, strict=True)
            yield number, [asked.answered(answer, loaded.tokenizer, grader) for asked, answer in pairs]


@dataclass(frozen=True)
class _Drawing:
    loaded: LoadedModel
    settings: Analysis
    sampling: SamplingSettings
    progress: Progress
    done: int

    def by_hugging_face(
        self, parts: Mapping[int, list[Problem]]
    ) -> Iterator[tuple[int, list[Question], list[Completion]]]:
        """One part after the other, in batches of ``batch_size``."""
        self.loaded.to_device()
        done, size = self.done, self.settings.batch_size
        for number, problems in parts.items():
            questions = questions_of(self.loaded.tokenizer, problems, self.settings)
            completions: list[Completion] = []
            for start in range(0, len(questions), size):

                def tell(finished: int, before: int = done + start) -> None:
                    self.progress.update(before + finished)

                requests = [question.request for question in questions[start : start + size]]
                completions += decode(self.loaded.model, requests, self.sampling, tell)
            done += len(questions)
            yield number, questions, completions

    def by_vllm(
        self, parts: Mapping[int, list[Problem]], folder: Path
    ) -> Iterator[tuple[int, list[Question], list[Completion]]]:
        """All parts at once; each comes when its last response is finished."""
        questions = {
            number: questions_of(self.loaded.tokenizer, problems, self.settings)
            for number, problems in parts.items()
        }
        places = [(number, asked) for number, several in questions.items() for asked in range(len(several))]
        found: dict[int, dict[int, Completion]] = defaultdict(dict)
        for finished in sample_vllm(
            self.loaded.source.path,
            self.loaded.source.revision,
            [questions[number][asked].request for number, asked in places],
            self.sampling,
            {"dtype": self.settings.dtype, **self.settings.vllm},
            folder,
            on_finished=lambda count: self.progress.update(self.done + count),
        ):
            for place, completion in finished:
                number, asked = places[place]
                found[number][asked] = completion
                if len(found[number]) == len(questions[number]):
                    completions = found.pop(number)
                    yield number, questions[number], [completions[i] for i in range(len(completions))]

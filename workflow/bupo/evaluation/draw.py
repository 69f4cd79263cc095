"""Drawing the samples of one model for one benchmark, a shard at a time."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bupo.errors import UserError
from bupo.evaluation.config import Decoding
from bupo.evaluation.models import EvaluatedModel
from bupo.evaluation.origin import origin_of
from bupo.evaluation.partial import Partial
from bupo.evaluation.sampling import HuggingFaceSampler, Sampler, VLLMSampler, Wanted
from bupo.evaluation.shards import Shard
from bupo.evaluation.store import Store, blocks, holds
from bupo.progress import Progress

if TYPE_CHECKING:
    from bupo.evaluation.lm import EvaluationTask


class Drawing:
    """The samples of one model for one benchmark; model and problems are loaded when something is drawn.

    Args:
        model: that is evaluated.
        benchmark: parquet file in verl's schema.
        decoding: how responses are drawn.
        out: folder of the evaluation, made if needed.

    Attributes:
        origin: of its samples.
    """

    def __init__(self, model: EvaluatedModel, benchmark: Path, decoding: Decoding, out: Path) -> None:
        check_benchmark(benchmark)
        out.mkdir(parents=True, exist_ok=True)
        self.model, self.benchmark, self.decoding, self.out = model, benchmark, decoding, out
        self.origin = origin_of(model, benchmark, decoding)

    @cached_property
    def sampler(self) -> Sampler:
        """What responses are drawn with."""
        backends: dict[str, Callable[..., Sampler]] = {"hf": HuggingFaceSampler, "vllm": VLLMSampler}
        return backends[self.decoding.backend](self.model.path, self.model.revision, self.decoding)

    @cached_property
    def task(self) -> "EvaluationTask":
        """The problems and their prompts."""
        from bupo.evaluation.lm import EvaluationTask

        return EvaluationTask(self.benchmark)

    def draw(self, shard: Shard) -> None:
        """Write the file of ``shard``, if it is not there, and draw those of its samples that no file holds.

        Killed at any moment and started again it goes on with what was saved.

        Raises:
            UserError: another process is drawing it, or the model cannot.
        """
        final = shard.file(self.out)
        if holds(final, self.origin.identity):
            final.touch()  # it is as it should be, whatever has changed since
            return
        problems = [self.task.problems[place] for place in shard.problems(len(self.task.problems))]
        partial = Partial(self.out, shard, self.origin)
        with partial.drawing():
            self._draw_missing(shard, problems, partial)
            store, numbers = Store(self.out, self.origin.identity), shard.numbers
            groups = (
                store.read((problem, number) for problem in block for number in numbers)
                for block in blocks(problems, len(numbers))
            )
            partial.publish(groups, final)

    def _draw_missing(self, shard: Shard, problems: list[str], partial: Partial) -> None:
        store = Store(self.out, self.origin.identity)
        keys = [(problem, number) for problem in problems for number in shard.numbers]
        missing = [key for key in keys if key not in store]
        if not missing:
            return
        asked = list(dict.fromkeys(problem for problem, _ in missing))
        prompts = self.task.prompts(asked, self.sampler.render)
        wanted = [Wanted(problem, number, prompts[problem]) for problem, number in missing]
        found = len(keys) - len(missing)
        label = f"evaluation {self.model.run} {self.benchmark.stem}"
        progress = Progress(label, len(keys), "samples", done=found)
        for samples in self.sampler.sample(
            wanted, partial.scratch, lambda finished: progress.update(found + finished)
        ):
            partial.add(samples)
        partial.save()


def check_benchmark(benchmark: Path) -> None:
    """Refuse a benchmark that is not there.

    Raises:
        UserError: there is no such file.
    """
    if not benchmark.is_file():
        raise UserError(
            f"--benchmark {benchmark} does not exist; a parquet file in verl's schema would be right"
        )

"""lm-eval's task for a benchmark, and stored samples in the place of the model that lm-eval evaluates."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.evaluation.sampling import Sample

os.environ.setdefault("TQDM_DISABLE", "1")  # our own lines tell the progress

import datasets
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager

from bupo.evaluation.task import TASK, TASK_DIRECTORY


class EvaluationTask:
    """The task of the command line of lm-eval, on one benchmark.

    Args:
        benchmark: parquet file in verl's schema.
        grader: rule of the task's own numbers.

    Attributes:
        problems: ids of the problems, in the benchmark's order.
    """

    def __init__(self, benchmark: Path, grader: str = "math_verify") -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        datasets.disable_progress_bars()
        metadata: dict[str, Any] = {"benchmark": str(benchmark), "grader": grader}
        manager = TaskManager(include_path=TASK_DIRECTORY, include_defaults=False, metadata=metadata)
        self._loaded: Any = manager.load(TASK)
        self._task: Any = self._loaded["tasks"][TASK]
        self.problems: list[str] = list(self._task.eval_docs["id"])
        self._places = {problem: place for place, problem in enumerate(self.problems)}

    def prompts(self, problems: Sequence[str], render: Callable[..., str]) -> dict[str, str]:
        """The prompts of some problems, by id.

        Args:
            problems: at least one.
            render: a chat as one text, as `Sampler.render`.
        """
        places = [self._places[problem] for problem in problems]
        self._task.build_all_requests(samples=places, apply_chat_template=True, chat_template=render)
        return {instance.doc["id"]: instance.args[0] for instance in self._task.instances}

    def grade(self, problems: Sequence[str], samples: Iterable[Sample], repeats: int) -> list[dict[str, Any]]:
        """Evaluate stored samples by lm-eval's evaluator.

        Args:
            problems: at least one.
            samples: those with the numbers 0 to ``repeats`` - 1 of each of them.
            repeats: how many samples of a problem there are.

        Returns:
            For each problem, in the benchmark's order, lm-eval's record: ``doc`` and the task's metrics.
        """
        self._task.set_config("repeats", repeats)
        results = evaluate(
            StoredSamples({(sample.problem_id, sample.sample): sample.text for sample in samples}),
            self._loaded,
            samples={TASK: sorted(self._places[problem] for problem in problems)},
            bootstrap_iters=0,
            log_samples=True,
        )
        assert results is not None
        return results["samples"][TASK]


class StoredSamples(LM):
    """Answers with texts that were drawn before; a problem that comes n times gets its samples 0..n-1.

    It has no likelihoods: the task only generates.

    Args:
        texts: by problem id and number.
    """

    def __init__(self, texts: dict[tuple[str, int], str]) -> None:
        super().__init__()
        self.texts = texts

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The texts of all requests."""
        seen: Counter[str] = Counter()
        texts = []
        for request in requests:
            problem = request.doc["id"]
            texts.append(self.texts[problem, seen[problem]])
            seen[problem] += 1
        return texts

    def loglikelihood(self, requests: list[Any]) -> Any:
        """Not of use for sampling tasks."""
        raise UserError("a task of likelihoods was asked for; stored samples only answer generate_until")

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        """Not of use for sampling tasks."""
        raise UserError("a task of likelihoods was asked for; stored samples only answer generate_until")

"""A model as lm-eval sees it: prompts in, texts out; everything else about the samples goes to the shard."""

from collections import Counter
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.sampling import Sampler, Wanted
from bupo.evaluation.shards import Key, Shard
from bupo.progress import Progress


class SamplingLM(LM):
    """Generates by a `Sampler`, skips what the shard already holds.

    It has no likelihoods: the tasks here only generate.
    """

    def __init__(self, sampler: Sampler, shard: Shard, settings: EvaluationSettings, label: str) -> None:
        super().__init__()
        self.sampler, self.shard, self.settings, self.label = sampler, shard, settings, label
        self.keys: list[Key] = []
        template = settings.chat_template or getattr(sampler.tokenizer, "chat_template", None)
        if template is None:
            raise UserError(
                "the model's tokenizer has no chat template; chat_template in the spec would be right"
            )
        self._template = template

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's records."""
        return str(self.sampler.tokenizer.name_or_path)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """For lm-eval's records."""
        return self._template if chat_template else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Render messages as in training; a template that refuses them is an error, nothing is dropped."""
        return self.sampler.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            chat_template=self._template,
            **self.settings.chat_template_kwargs,
        )

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Texts of all requests; a problem that comes n times gets its samples 0..n-1."""
        seen: Counter[str] = Counter()
        wanted: list[Wanted] = []
        for request in requests:
            problem = request.doc["id"]
            sample = seen[problem]
            seen[problem] += 1
            wanted.append(Wanted(problem, sample, request.args[0]))
        self.keys = [(one.problem_id, one.sample) for one in wanted]
        missing = [one for one in wanted if (one.problem_id, one.sample) not in self.shard.samples]
        if missing:
            found = len(wanted) - len(missing)
            progress = Progress(self.label, len(wanted), "samples", done=found)
            for samples in self.sampler.sample(missing, lambda finished: progress.update(found + finished)):
                self.shard.add(samples)
        return [self.shard.samples[key].text for key in self.keys]

    def loglikelihood(self, requests: list[Any]) -> Any:
        """Not of use for sampling tasks."""
        raise UserError("a task of likelihoods was asked for; this model only generates (generate_until)")

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        """Not of use for sampling tasks."""
        raise UserError("a task of likelihoods was asked for; this model only generates (generate_until)")

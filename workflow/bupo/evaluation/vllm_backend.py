"""Decoding with vLLM: the same requests and seeds, vLLM's own random numbers."""

from collections.abc import Callable, Iterator
from typing import Any

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.sampling import Request, Sample

PART = 4096  # requests handed over at once; what a crash can cost


class VLLMSampler:
    """A model in vLLM; the engine starts when something is drawn.

    Args:
        path: folder or hub id.
        revision: of the hub id.
        settings: of the evaluation; ``vllm`` in it holds further arguments of ``vllm.LLM``.
    """

    def __init__(self, path: str, revision: str | None, settings: EvaluationSettings) -> None:
        from transformers import AutoTokenizer

        self.path, self.revision, self.settings = path, revision, settings
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, revision=revision)

    def sample(self, requests: list[Request], progress: Callable[[int], None]) -> Iterator[list[Sample]]:
        """Draw all requests, `PART` of them at a time.

        Raises:
            UserError: if vLLM is not installed.
        """
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise UserError("backend is vllm, which is not installed here; hf would be right") from error
        engine = LLM(
            model=self.path,
            revision=self.revision,
            dtype=self.settings.dtype,
            seed=self.settings.seed % 2**31,
            **self.settings.vllm,
        )

        settings = self.settings
        for start in range(0, len(requests), PART):
            part = requests[start : start + PART]
            encoded = self.tokenizer([request.prompt for request in part], add_special_tokens=False)[
                "input_ids"
            ]
            parameters = [
                SamplingParams(
                    temperature=settings.temperature,
                    top_p=settings.top_p,
                    top_k=-1,
                    max_tokens=settings.max_new_tokens,
                    seed=request.seed,
                )
                for request in part
            ]
            prompts = [{"prompt_token_ids": tokens} for tokens in encoded]
            outputs = engine.generate(prompts, parameters, use_tqdm=False)
            progress(start + len(part))
            yield [
                Sample(
                    request.problem_id,
                    request.sample,
                    output.outputs[0].text,
                    len(output.outputs[0].token_ids),
                    str(output.outputs[0].finish_reason),
                    request.seed,
                )
                for request, output in zip(part, outputs, strict=True)
            ]

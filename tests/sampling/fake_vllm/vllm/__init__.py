"""The few names of vLLM that its process needs, with responses that count up from the seed.

It takes one response off after every step, the shortest first, and logs what it was asked.
"""

import json
import os
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

from vllm.sampling_params import SamplingParams


@dataclass
class EngineArgs:
    model: str
    revision: str | None
    generation_config: str
    logprobs_mode: str
    skip_tokenizer_init: bool
    enforce_eager: bool
    disable_log_stats: bool
    max_model_len: int | None = None
    dtype: str = "auto"

    def create_model_config(self) -> SimpleNamespace:
        config = json.loads((Path(self.model) / "config.json").read_text())
        return SimpleNamespace(max_model_len=self.max_model_len or config["max_position_embeddings"])


class LLMEngine:
    def __init__(self, arguments: EngineArgs) -> None:
        self.waiting: list = []
        self.steps = 0
        self.log({"engine": asdict(arguments)})

    @classmethod
    def from_engine_args(cls, arguments: EngineArgs) -> "LLMEngine":
        return cls(arguments)

    def log(self, row: dict) -> None:
        with Path(os.environ["FAKE_VLLM_LOG"]).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def add_request(self, request_id: str, prompt: dict, params: SamplingParams) -> None:
        self.log({"request": request_id, **prompt, **asdict(params)})
        stream = random.Random(params.seed)
        tokens: list[int] = []
        while len(tokens) < params.max_tokens and not set(tokens) & set(params.stop_token_ids):
            tokens.append(stream.randrange(20))
        reason = "stop" if tokens[-1] in params.stop_token_ids else "length"
        self.waiting.append((len(tokens), request_id, tokens, reason))

    def get_num_unfinished_requests(self) -> int:
        return len(self.waiting)

    def has_unfinished_requests(self) -> bool:
        return bool(self.waiting)

    def step(self) -> list:
        self.steps += 1
        if self.steps > int(os.environ.get("FAKE_VLLM_FAILS_AFTER", 10**9)):
            raise RuntimeError("out of memory")
        while os.environ.get("FAKE_VLLM_HANGS"):
            time.sleep(1.0)
        self.waiting.sort()
        _, request_id, tokens, reason = self.waiting.pop(0)
        log_probs = SimpleNamespace(
            logprobs=[-float(token) for token in tokens], start_indices=range(len(tokens))
        )
        output = SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=log_probs)
        return [SimpleNamespace(finished=True, request_id=request_id, outputs=[output])]

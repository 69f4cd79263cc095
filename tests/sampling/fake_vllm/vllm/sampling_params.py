from dataclasses import dataclass
from enum import Enum


class RequestOutputKind(int, Enum):
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    seed: int
    ignore_eos: bool
    stop_token_ids: list[int]
    logprobs: int
    flat_logprobs: bool
    detokenize: bool
    output_kind: RequestOutputKind

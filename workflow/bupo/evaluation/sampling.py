"""What is asked of a decoder and what comes back, with a seed for every single sample.

The seed of a sample follows from the evaluation's seed, the problem's id and the sample's number, and from
nothing else: not from the order of the problems, the batch it falls into, or how many samples there are. So
more samples only add to those drawn before, and an evaluation that goes on after a crash draws what it would
have drawn.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Request:
    """One response to draw: the rendered prompt and which sample of which problem it is."""

    problem_id: str
    sample: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class Sample:
    """One response: ``n_tokens`` counts its end token; ``finish_reason`` is ``stop`` or ``length`` (cut
    off)."""

    problem_id: str
    sample: int
    text: str
    n_tokens: int
    finish_reason: str
    seed: int


class Sampler(Protocol):
    """A decoder: transformers or vLLM."""

    tokenizer: Any

    def sample(self, requests: list[Request], progress: Callable[[int], None]) -> Iterator[list[Sample]]:
        """Draw all requests, in any order, and yield them in parts as they are finished.

        Args:
            requests: what to draw.
            progress: called with the number of responses finished so far.
        """
        ...


def sample_seed(seed: int, problem_id: str, sample: int) -> int:
    """Seed of one sample, 0 <= seed < 2^63."""
    digest = hashlib.sha256(f"{seed}\n{problem_id}\n{sample}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def uniforms(seed: int, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that choose a sample's tokens, shape (count,); a longer row starts the same."""
    return np.random.Generator(np.random.PCG64(seed)).random(count)

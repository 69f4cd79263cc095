"""What is asked of a decoder and what comes back."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bupo.errors import UserError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Request:
    """One response to draw.

    Attributes:
        prompt_ids: token ids of the prompt, not padded; at least one.
        key: 128 bits, key of the counter-based generator of this response's random numbers.

    Raises:
        UserError: the prompt is empty.
    """

    prompt_ids: tuple[int, ...]
    key: int

    def __post_init__(self) -> None:
        """Refuse an empty prompt."""
        if not self.prompt_ids:
            raise UserError("a prompt has no tokens; at least one token to go on from would be right.")


@dataclass(frozen=True)
class Completion:
    """One response.

    Attributes:
        token_ids: drawn tokens; where ``finish_reason`` is ``stop`` the last of them is an end token.
        finish_reason: ``stop``, or ``length`` where it was cut at ``max_new_tokens``.
        log_probs: of each token under the distribution that it was drawn from (temperature and top_p
            applied), nats. At temperature 0 under that of temperature 1.
        entropy: of those distributions, summed over the tokens, nats; None where the decoder tells it not.
    """

    token_ids: list[int]
    finish_reason: FinishReason
    log_probs: list[float]
    entropy: float | None


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How tokens are drawn. There is no top-k, no penalty and no stop string.

    Attributes:
        max_new_tokens: longest response in tokens, its end token included.
        temperature: the logits are divided by it; 0 takes the most likely token.
        top_p: nucleus, the smallest set of most likely tokens that holds this share; 1 is the whole
            distribution. Of no effect at temperature 0.
        end_token_ids: a response ends with the first of them.
        pad_token_id: fills up shorter prompts; it is masked, so that any token of the vocabulary does.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    end_token_ids: frozenset[int]
    pad_token_id: int = 0


def key_of(*parts: object) -> int:
    """The key of a response: 128 bits of the SHA-256 of its parts' text, joined by ``/``.

    For two responses to have keys of their own, at most one part, always the same, may hold a ``/``.
    """
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:16], "big")


def check_room(requests: Sequence[Request], settings: SamplingSettings, room: int | None) -> None:
    """Refuse requests that are too long for the model, which would go on without sense or be cut short.

    Args:
        requests: at least one.
        settings: how they are drawn.
        room: positions of the model; None where it has no limit.

    Raises:
        UserError: the longest prompt and its response are longer than ``room``.
    """
    longest = max(len(request.prompt_ids) for request in requests)
    if room is not None and longest + settings.max_new_tokens > room:
        raise UserError(
            f"max_new_tokens is {settings.max_new_tokens}, but the longest prompt has {longest} tokens and "
            f"the model holds {room}; at most {room - longest} would be right."
        )

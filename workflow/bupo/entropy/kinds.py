"""What kind of token each token of a response is, from token ids alone."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("text", "thinking", "special")
THINK_TOKENS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))


class TokenKinds:
    """Tells a model's tokens apart.

    ``special`` are the control tokens: those that the tokenizer marks as special, those that end a response,
    and those that open and close a thinking block. ``thinking`` are the others inside such a block, ``text``
    all the rest.

    Args:
        tokenizer: of the model; it has thinking blocks if both tokens of a pair are single tokens of it.
        ends: token ids that end a response.
    """

    def __init__(self, tokenizer: Any, ends: Iterable[int]) -> None:
        vocabulary = tokenizer.get_vocab()
        pairs = [pair for pair in THINK_TOKENS if all(token in vocabulary for token in pair)]
        self.opening = np.array([vocabulary[first] for first, _ in pairs], dtype=np.int64)
        self.closing = np.array([vocabulary[last] for _, last in pairs], dtype=np.int64)
        marked = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        special = {*marked, *tokenizer.all_special_ids, *ends, *self.opening, *self.closing}
        self.special = np.array(sorted(special), dtype=np.int64)

    def of(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> dict[str, NDArray[np.bool_]]:
        """For each kind, which tokens of the response are of it, [T]; each token is of exactly one.

        A block that the prompt opened and did not close goes on in the response; one that is never closed
        goes on to its end.
        """
        ids = np.array([*prompt_ids, *response_ids], dtype=np.int64)
        marks = np.isin(ids, self.opening).astype(np.int64) - np.isin(ids, self.closing)
        last = np.maximum.accumulate(np.where(marks != 0, np.arange(len(ids)), -1))
        inside = (last >= 0) & (marks[last] > 0)
        special = np.isin(ids, self.special)
        kinds = (~special & ~inside, ~special & inside, special)
        return {kind: tokens[len(prompt_ids) :] for kind, tokens in zip(KINDS, kinds, strict=True)}

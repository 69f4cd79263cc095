"""The slices of the responses that statistics are given for."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bupo.entropy.kinds import KINDS
from bupo.entropy.responses import Response

ALL = "all"


class Slices:
    """Which tokens of a response belong to which slice.

    Args:
        edges: last places of the position slices, rising.
        sets: names of the problem sets; with one only, it is no slice of its own.
    """

    def __init__(self, edges: Sequence[int], sets: Sequence[str]) -> None:
        self.bounds = list(zip([0, *edges], edges, strict=False))
        self.sets = {name: f"set {name}" for name in sets} if len(sets) > 1 else {}

    @property
    def names(self) -> list[str]:
        """Every slice, in the order in which tables have them."""
        places = [_places(*bounds) for bounds in self.bounds]
        return [ALL, "correct", "wrong", *KINDS, *places, *self.sets.values()]

    def of(self, response: Response, kinds: Mapping[str, NDArray[np.bool_]]) -> dict[str, NDArray[np.bool_]]:
        """For each slice that has any of them, which tokens of the response it has, [T].

        Args:
            kinds: for each kind, which tokens of the response are of it, [T].
        """
        count = len(response.response_ids)
        every, place = np.ones(count, dtype=bool), np.arange(count)
        found: dict[str, NDArray[np.bool_]] = {ALL: every, **kinds}
        if response.correct is not None:
            found["correct" if response.correct else "wrong"] = every
        for low, high in self.bounds:
            found[_places(low, high)] = (place >= low) & (place < high)
        if response.set in self.sets:
            found[self.sets[response.set]] = every
        return {name: tokens for name, tokens in found.items() if tokens.any()}


def _places(low: int, high: int) -> str:
    return f"position {low + 1}-{high}"

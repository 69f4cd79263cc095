"""Sums over the tokens of one problem, from one forward pass over each of its responses."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bupo.entropy.quantities import Row, measure
from bupo.entropy.responses import Response
from bupo.entropy.settings import Analysis
from bupo.entropy.tables import SliceSums
from bupo.errors import UserError
from bupo.policies import PARTS, ByPolicy, InternalPolicies

BLOCK = 512  # positions measured at a time: only the states grow with the response
# Bytes of states at a time: a GPU of 80 GB holds so many beside 33 billion parameters in bfloat16, 66 GB.
HELD = 2**33


def problem_sums(
    policies: InternalPolicies,
    responses: Sequence[Response],
    slices: Sequence[Mapping[str, NDArray[np.bool_]]],
    settings: Analysis,
) -> tuple[list[Row], list[SliceSums]]:
    """One forward pass over each response to one problem; several where its states take more than `HELD`.

    Args:
        slices: for each response and slice, which of its tokens the slice has, [T].

    Returns:
        The rows of the table, R of them; and for each slice the sums over its tokens of all responses.

    Raises:
        UserError: a response is empty, or a quantity is not a finite number.
    """
    totals: dict[str, tuple[Tensor, int]] = {}
    rows: list[Row] = []
    for response, tokens in zip(responses, slices, strict=True):
        masks = torch.from_numpy(np.stack(list(tokens.values()))).double()
        rows, sums = _response_sums(policies, response, masks, settings)
        for name, mask, total in zip(tokens, masks, sums, strict=True):
            before, count = totals.get(name, (torch.zeros_like(total), 0))
            totals[name] = (before + total, count + int(mask.sum()))
    first = responses[0]
    return rows, [
        SliceSums(first.set, first.problem_id, name, count, total.numpy())
        for name, (total, count) in totals.items()
    ]


def _response_sums(
    policies: InternalPolicies, response: Response, masks: Tensor, settings: Analysis
) -> tuple[list[Row], Tensor]:
    """The sums over the tokens of each slice, float64 [S, R]; ``masks`` [S, T]."""
    device = policies.decoder.device
    tokens, masks = torch.tensor(response.response_ids, device=device), masks.to(device)
    rows: list[Row] = []
    parts = []
    for here, states in _blocks(policies, response):
        rows, values = measure(
            policies, states, tokens[here], settings.lenses, settings.temperature, settings.anchor_layers
        )
        del states  # a view, which would hold all of them beside the next ones
        if not torch.isfinite(values).all():
            row = rows[int((~torch.isfinite(values)).any(1).nonzero()[0])]
            raise UserError(
                f"problem {response.problem_id}: the {row.quantity} of the {row.policy} policy at layer "
                f"{row.layer} is not finite; dtype {settings.dtype} may be too narrow for this model."
            )
        parts.append(masks[:, here] @ values.double().T)
    return rows, torch.stack(parts).sum(0).cpu()


def _blocks(policies: InternalPolicies, response: Response) -> Iterator[tuple[slice, ByPolicy]]:
    """Which tokens of a response, and the states that predict them: a block at a time, none is left out.

    Each forward pass is over the whole sequence, so that many give the same states as one.
    """
    ids = torch.tensor(response.prompt_ids + response.response_ids)
    first, stop = response.positions.start, response.positions.stop
    weight = policies.decoder.unembedding
    each = (policies.total * len(PARTS) + 2) * weight.shape[1] * weight.element_size()
    most = max(1, HELD // (each * BLOCK)) * BLOCK
    for start in range(first, stop, most):
        states = policies.states(ids, slice(start, min(start + most, stop)))
        for begin in range(0, len(states.final), BLOCK):
            token = start - first + begin
            yield slice(token, token + BLOCK), _positions(states, slice(begin, begin + BLOCK))
        del states


def _positions(states: ByPolicy, here: slice) -> ByPolicy:
    return states.map(lambda tensor: tensor[..., here, :])

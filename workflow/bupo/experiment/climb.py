"""Phases that climb, for the schedules in ``configs/algorithm/``: ``${climb:k,steps,L}``."""

from typing import Any

from omegaconf import OmegaConf


def climb(layer: int, steps: int, total: int) -> list[dict[str, Any]]:
    """Phases bottom-up: the layers k, 2k, 3k, ... below L, ``steps`` each, then the full policy.

    Raises:
        ValueError: no layer lies below L, so that nothing but the full policy would be trained.
    """
    if layer >= total:
        raise ValueError(f"layer {layer} is not below the last layer, {total}, so that nothing climbs")
    return [{"layer": each, "steps": steps} for each in range(layer, total, layer)] + [{"layer": "final"}]


OmegaConf.register_new_resolver("climb", climb, replace=True)

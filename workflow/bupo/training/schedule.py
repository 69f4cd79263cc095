"""The schedule of phases: which policy is trained at which step.

``[{layer: 3, steps: 4}, {layer: final}]`` trains the internal policy of layer 3 in steps 1 to 4 and the full
policy afterwards (BuPO); a single phase is GRPO or InterGRPO; more phases climb bottom-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bupo.errors import UserError
from bupo.policies import LayerIndex, Lens
from bupo.policies.architectures import LENSES

FINAL = "final"
KEEP, RESET = "keep", "reset"
"""What becomes of the optimiser's moments where one phase follows another (``bupo.optimizer_at_switch``)."""


@dataclass(frozen=True)
class Phase:
    """A stretch of training steps with one trained policy.

    Attributes:
        number: counted from 1.
        layer: the internal policy's layer; None is the full policy.
        steps: trainer steps in this phase; None is all that are left.
        lens: whether the internal policy reads the state raw or through the final norm.
    """

    number: int
    layer: LayerIndex | None
    steps: int | None
    lens: Lens

    @property
    def name(self) -> str:
        """For people: ``layer 3 of 6 (raw)`` or ``the full policy``."""
        return "the full policy" if self.layer is None else f"{self.layer} ({self.lens})"


@dataclass(frozen=True)
class Schedule:
    """The phases of a run, in their order."""

    phases: tuple[Phase, ...]

    def at(self, step: int) -> Phase:
        """The phase of trainer step ``step``, counted from 1.

        Raises:
            ValueError: ``step`` is less than 1.
        """
        if step < 1:
            raise ValueError(f"step {step} does not exist: trainer steps are counted from 1")
        for phase in self.phases:
            if phase.steps is None or step <= phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def switches_at(self, step: int) -> bool:
        """Whether ``step`` is the first of a phase that follows another."""
        return step > 1 and self.at(step) != self.at(step - 1)


def parse_schedule(entries: Any, total_layers: int, lens: str, where: str) -> Schedule:
    """The schedule as written in a configuration.

    Args:
        entries: a list of ``{layer: <1..L> | final, steps: <n>}``; the last one may leave ``steps`` out.
        total_layers: L, the number of layers of the model.
        lens: ``raw`` or ``final_norm``.
        where: the configuration file, for messages.

    Raises:
        UserError: anything that would train another policy than the one asked for.
    """
    key = f"{where}: bupo.schedule"
    if lens not in LENSES:
        raise UserError(f"{where}: bupo.lens = {lens!r} should be one of {', '.join(LENSES)}.")
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise UserError(
            f"{key} = {entries!r} should be a list such as [{{layer: 3, steps: 4}}, {{layer: final}}]."
        )
    phases = []
    for position, entry in enumerate(entries):
        at = f"{key}[{position}]"
        if not isinstance(entry, dict) or not {"layer"} <= set(entry) <= {"layer", "steps"}:
            raise UserError(f"{at} = {entry!r} should have the keys layer and steps.")
        steps = entry.get("steps")
        if steps is None and position < len(entries) - 1:
            raise UserError(f"{at}.steps is missing; only the last phase may run to the end of the training.")
        if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
            raise UserError(f"{at}.steps = {steps!r} should be a whole number of trainer steps, at least 1.")
        phases.append(Phase(position + 1, _layer(entry["layer"], total_layers, at), steps, _lens(lens)))
    return Schedule(tuple(phases))


def _layer(value: Any, total: int, at: str) -> LayerIndex | None:
    if value == FINAL:
        return None
    try:
        return LayerIndex(value, total)
    except ValueError:
        raise UserError(f"{at}.layer = {value!r} should be a layer from 1 to {total}, or {FINAL}.") from None


def _lens(lens: str) -> Literal["raw", "final_norm"]:
    return "raw" if lens == "raw" else "final_norm"

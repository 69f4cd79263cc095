"""What a training run of an experiment does in a step, from the configurations of this project alone.

verl's own configuration, which the whole one is laid over (`bupo.experiment.compose`), has nothing of it, and
the machine that submits jobs need not have verl.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bupo.errors import UserError
from bupo.experiment.groups import group_file
from bupo.files import read_yaml

KEYS = {
    "prompts": "data.train_batch_size",
    "samples": "actor_rollout_ref.rollout.n",
    "response_tokens": "data.max_response_length",
    "epochs": "actor_rollout_ref.actor.ppo_epochs",
    "device": "trainer.device",
    "nodes": "trainer.nnodes",
    "gpus_per_node": "trainer.n_gpus_per_node",
    "estimator": "algorithm.adv_estimator",
    "keep_last": "bupo.checkpoints.keep_last",
}


@dataclass(frozen=True)
class Workload:
    """What one step is, and on what.

    Attributes:
        prompts: problems of a rollout batch.
        samples: responses for each of them.
        response_tokens: the longest that a response may be.
        epochs: passes over a rollout batch.
        device: ``cpu`` or ``cuda``.
        nodes, gpus_per_node: of one run.
        estimator: of the advantages; ``gae`` has a critic.
        keep_last: checkpoints that are kept while a run is trained.
    """

    prompts: int
    samples: int
    response_tokens: int
    epochs: int
    device: str
    nodes: int
    gpus_per_node: int
    estimator: str
    keep_last: int

    @property
    def responses(self) -> int:
        """Sampled in a step."""
        return self.prompts * self.samples

    @property
    def gpus(self) -> int:
        """Of one run, on all its nodes."""
        return 0 if self.device == "cpu" else self.nodes * self.gpus_per_node

    @property
    def models(self) -> int:
        """How many models of the policy's size are trained: 2 with a critic."""
        return 2 if self.estimator == "gae" else 1

    def as_long_as(self, other: "Workload") -> bool:
        """Whether a step of one takes as long as one of the other, on machines of the same kind."""
        return {**vars(self), "keep_last": 0} == {**vars(other), "keep_last": 0}


class Workloads:
    """The workloads of an experiment's cells.

    Args:
        configs: the project's ``configs/`` folder.
        engine, settings: names of its groups.
        overrides: Hydra overrides of every cell.
        where: what names them, for messages.
    """

    def __init__(
        self, configs: Path, engine: str, settings: str, overrides: Sequence[str], where: str
    ) -> None:
        self.configs, self.where, self.overrides = configs, where, overrides
        self.groups = (("settings", settings), ("engine", engine))
        self._of_method: dict[str, DictConfig] = {}
        self._found: dict[tuple[str, str], Workload] = {}

    def of(self, method: str, model: str) -> Workload:
        """The workload of a cell.

        Raises:
            UserError: an override that cannot be applied.
        """
        if (method, model) not in self._found:
            self._found[method, model] = self._selected(method, model)
        return self._found[method, model]

    def response_tokens(self, method: str, model: str) -> int | None:
        """The longest that a response of a cell may be; None where that hangs on verl's own configuration.

        Raises:
            UserError: an override that cannot be applied.
        """
        try:
            found = OmegaConf.select(self._config(method, model), KEYS["response_tokens"])
        except OmegaConfBaseException:
            return None
        return found if isinstance(found, int) else None

    def _selected(self, method: str, model: str) -> Workload:
        config = self._config(method, model)
        return workload_in({key: OmegaConf.select(config, path) for key, path in KEYS.items()})

    def _config(self, method: str, model: str) -> DictConfig:
        """The configuration of a cell, until the next one is asked for."""
        if method not in self._of_method:
            self._of_method[method] = self._merged(method)
        config = self._of_method[method]
        OmegaConf.update(config, "bupo.model", model)
        return config

    def _merged(self, method: str) -> DictConfig:
        layers = [_values(self.configs / "cell.yaml"), *_chain(self.configs, method)]
        layers += [_values(group_file(self.configs, group, name, self.where)) for group, name in self.groups]
        merged = OmegaConf.merge(*map(OmegaConf.create, layers))
        assert isinstance(merged, DictConfig)
        try:
            for override in OverridesParser.create().parse_overrides(list(self.overrides)):
                if not override.is_delete():
                    OmegaConf.update(merged, override.key_or_group, override.value())
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(
                f"{self.where}.overrides: {str(error).splitlines()[0].rstrip('.')}; it should be Hydra's."
            ) from None
        return merged


def workload_in(values: Mapping[str, Any]) -> Workload:
    """A workload from the values of `KEYS`, by our names of them."""
    texts = ("device", "estimator")
    typed: dict[str, Any] = {key: values[key] if key in texts else int(values[key]) for key in KEYS}
    return Workload(**typed)


def workload_of(config: Mapping[str, Any]) -> Workload | None:
    """The workload of a run's resolved configuration; None where it lacks a key."""
    found = {}
    for key, path in KEYS.items():
        value: Any = config
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[key] = value
    return None if any(value is None for value in found.values()) else workload_in(found)


def _chain(configs: Path, method: str) -> list[dict[str, Any]]:
    """A method's file behind those that it builds on."""
    values = _values(configs / "algorithm" / f"{method}.yaml")
    return [entry for base in values.pop("defaults", []) for entry in _chain(configs, base)] + [values]


def _values(path: Path) -> dict[str, Any]:
    values = read_yaml(path) or {}
    if path.name == "cell.yaml":
        values.pop("defaults", None)
    return dict(values)

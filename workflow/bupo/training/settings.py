"""What a run is asked to do, checked before anything starts."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bupo.errors import UserError
from bupo.grading import RULES
from bupo.policies.architectures import ARCHITECTURES
from bupo.training.allocation import find_allocation
from bupo.training.collapse import CollapseSettings
from bupo.training.learning_rates import LearningRates, check_learning_rates, check_tied
from bupo.training.refusals import refuse
from bupo.training.schedule import Schedule, parse_schedule
from bupo.validation import Strict, validated

ROLLOUT_OF_DEVICE = {"cpu": "hf", "cuda": "vllm"}


class RewardSettings(BaseModel):
    """``bupo.reward``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grader: str


class ObserveSettings(Strict):
    """``bupo.observe``.

    Attributes:
        responses: of each step over which the other policy is read, at least; 0: it is not.
        layer: k of the internal policy that is read while the full policy is trained; null: that of the
            schedule's last phase with one, and none where it has none.
    """

    responses: int = Field(default=64, ge=0)
    layer: int | None = Field(default=None, ge=1)


class BupoSettings(BaseModel):
    """``bupo``: what verl does not know of. Further keys are for people and for the report."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    cell: str
    seed: int
    layers: int
    lens: str
    schedule: list[dict[str, Any]]
    reward: RewardSettings
    single_process: bool
    chunked_log_prob: bool
    optimizer_at_switch: Literal["keep", "reset"]
    learning_rates: LearningRates
    observe: ObserveSettings
    collapse: CollapseSettings


class _Root(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    bupo: BupoSettings


def check(config: dict[str, Any], where: str) -> Schedule:
    """Check all that can be checked without verl.

    Args:
        config: the whole configuration, paths relative to the working directory.
        where: its file, for messages.

    Returns:
        The schedule of phases.

    Raises:
        UserError: the first thing that is wrong, above all what would train another policy than the one
        asked for.
    """
    bupo = validated(_Root, config, where).bupo
    if bupo.reward.grader not in RULES:
        raise UserError(
            f"{where}: bupo.reward.grader = {bupo.reward.grader!r} should be one of {', '.join(RULES)}."
        )
    schedule = parse_schedule(bupo.schedule, bupo.layers, bupo.lens, where)
    _check_steps(config, schedule, where)
    tied = _check_model(config, bupo.layers, where)
    _check_files(config, where)
    _check_machine(config, bupo.single_process, where)
    if config["trainer"]["nnodes"] > 1:
        find_allocation(config, where)
    refuse(config, any(phase.layer is not None for phase in schedule.phases), where)
    check_learning_rates(bupo.learning_rates, schedule, bupo.layers, where)
    check_tied(bupo.learning_rates, tied, where)
    _check_observed(bupo, where)
    return schedule


def _check_observed(bupo: BupoSettings, where: str) -> None:
    layer, collapse = bupo.observe.layer, bupo.collapse
    if layer is not None and layer > bupo.layers:
        raise UserError(
            f"{where}: bupo.observe.layer = {layer} should be a layer from 1 to {bupo.layers}, or null."
        )
    bounds = [key for key in ("max_entropy", "min_entropy") if getattr(collapse, key) is not None]
    if collapse.enabled and bounds and bupo.observe.responses == 0:
        raise UserError(
            f"{where}: bupo.collapse.{bounds[0]} = {getattr(collapse, bounds[0])} needs the full policy's "
            "entropy in every phase; bupo.observe.responses should be above 0, or the bound null."
        )


def _check_steps(config: dict[str, Any], schedule: Schedule, where: str) -> None:
    total = config["trainer"]["total_training_steps"]
    if not isinstance(total, int) or total < 1:
        raise UserError(
            f"{where}: trainer.total_training_steps = {total!r} should be a whole number, at least 1."
        )
    planned = sum(phase.steps or 0 for phase in schedule.phases)
    if planned > total:
        raise UserError(
            f"{where}: bupo.schedule has {planned} steps, more than trainer.total_training_steps = {total}."
        )
    save_freq = config["trainer"]["save_freq"]
    if not isinstance(save_freq, int) or save_freq < 1:
        raise UserError(
            f"{where}: trainer.save_freq = {save_freq!r} should be at least 1; without checkpoints a run "
            "cannot go on after it was stopped."
        )


def _check_model(config: dict[str, Any], layers: int, where: str) -> bool:
    """Whether embedding and unembedding are known to be one matrix."""
    path = Path(config["actor_rollout_ref"]["model"]["path"])
    file = path / "config.json"
    if path.is_dir() and not file.exists():
        raise UserError(
            f"{where}: actor_rollout_ref.model.path = {path} has no config.json; it should hold a model."
        )
    if not file.exists():
        return False  # a name on the Hugging Face hub: verl loads it
    model = json.loads(file.read_text(encoding="utf-8"))
    decoder = model.get("text_config") or model  # of a model that sees images too
    if decoder.get("num_hidden_layers") != layers:
        raise UserError(
            f"{where}: bupo.layers = {layers}, but {path} has {decoder.get('num_hidden_layers')} layers."
        )
    if model.get("model_type") not in ARCHITECTURES:
        raise UserError(
            f"{where}: {path} is a {model.get('model_type')}; internal policies are known for "
            f"{', '.join(sorted(ARCHITECTURES))}."
        )
    return bool(model.get("tie_word_embeddings"))


def _check_files(config: dict[str, Any], where: str) -> None:
    for key in ("train_files", "val_files"):
        files = config["data"][key]
        for file in [files] if isinstance(files, str) else files:
            if not Path(file).is_file():
                raise UserError(f"{where}: data.{key}: there is no file {file}.")


def _check_machine(config: dict[str, Any], single_process: bool, where: str) -> None:
    trainer, actor = config["trainer"], config["actor_rollout_ref"]
    device, ranks = trainer["device"], trainer["nnodes"] * trainer["n_gpus_per_node"]
    wanted = {
        "trainer.v1.trainer_mode": (trainer["v1"]["trainer_mode"], "bupo"),
        "trainer.use_v1": (trainer["use_v1"], True),
        "actor_rollout_ref.actor.strategy": (actor["actor"]["strategy"], "fsdp2"),
        "actor_rollout_ref.rollout.name": (actor["rollout"]["name"], ROLLOUT_OF_DEVICE.get(device)),
    }
    for key, (value, right) in wanted.items():
        if value != right:
            raise UserError(
                f"{where}: {key} = {value!r} should be {right!r} where trainer.device = {device!r}."
            )
    if single_process and (device != "cpu" or ranks != 1):
        raise UserError(
            f"{where}: bupo.single_process = true is for one rank on the CPU; it should be false for "
            f"{ranks} rank(s) on {device}, which need Ray."
        )
    if device == "cpu" and (actor["rollout"]["top_p"] != 1 or actor["rollout"]["top_k"] not in (-1, 0)):
        raise UserError(
            f"{where}: actor_rollout_ref.rollout.top_p and top_k should be 1 and -1 on the CPU, which draws "
            "from the whole distribution."
        )

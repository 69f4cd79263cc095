"""verl's synchronous trainer with a schedule of phases."""

import copy
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import transfer_queue as tq
from omegaconf import DictConfig, OmegaConf, open_dict
from tensordict import NonTensorStack, TensorDict
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import PPOTrainerSync, register_trainer
from verl.utils.debug import marked_timer

from bupo.files import publish_folder
from bupo.progress import Progress
from bupo.sampling import end_tokens, load_generation_config
from bupo.tracking.mirror import Mirror
from bupo.training.checkpoints import Checkpoints
from bupo.training.chunked import CHUNKED_KEY
from bupo.training.collapse import Collapsed, find_collapse
from bupo.training.engine import EXPORT_FOLDER, POLICY_KEY, policy_name
from bupo.training.metrics import MetricsFile, read_metrics
from bupo.training.observation import observe, observed_keys, observed_phase
from bupo.training.policy_metrics import FIELDS, name_policies, response_metrics
from bupo.training.retention import score
from bupo.training.safe_loading import code_in
from bupo.training.schedule import RESET, Phase, parse_schedule
from bupo.training.settings import BupoSettings
from bupo.training.snapshots import MODEL, Snapshots
from bupo.training.stopping import Stopped, Stopping

TRAINER_NAME = "bupo"


@register_trainer(TRAINER_NAME)
class ScheduledTrainer(PPOTrainerSync):
    """Trains the policy of the step's phase.

    Old log-probs, entropy and updates are those of that policy; rollouts and advantages are always the full
    policy's (paper, InterGRPO), and so are a critic's values. A reference is read at the same layer as the
    policy that is compared with it.
    """

    def __init__(self, config: DictConfig) -> None:
        with open_dict(config):  # verl asks `trainer_mode == "sync"` in several places
            config.trainer.v1.trainer_mode = "sync"
        super().__init__(config)
        bupo = OmegaConf.to_container(config.bupo, resolve=True)
        assert isinstance(bupo, dict)
        self.settings = BupoSettings.model_validate(bupo)
        self.schedule = parse_schedule(bupo["schedule"], bupo["layers"], bupo["lens"], "config")
        self.out = Path(config.trainer.default_local_dir).parent
        self.snapshots = Snapshots.of(config, self.out, "config")
        self.agent_loop_manager: Any = None
        self.console: TextIO | None = None  # where progress is shown; None is stderr
        self.mirror: Mirror | None = None
        self.checkpoints: Checkpoints
        self.stopping: Stopping
        self.step_began: float | None = None
        self.observed: dict[str, float] = {}  # of the step's other policy

    def _init_resource_pool_mgr(self) -> None:
        import ray

        from bupo.training.worker import OURS

        super()._init_resource_pool_mgr()
        for role, worker in self.role_worker_mapping.items():
            name = worker.__ray_metadata__.modified_class.__name__  # type: ignore[attr-defined]
            self.role_worker_mapping[role] = ray.remote(OURS[name])

    # ------------------------------------------------------------------ the policy of each pass

    @property
    def phase(self) -> Phase:
        """The phase of the step that is running."""
        return self.schedule.at(self.global_steps)

    def _name_policy(self, batch: KVBatchMeta, phase: Phase) -> None:
        batch.extra_info[POLICY_KEY] = policy_name(phase.layer, phase.lens)
        batch.extra_info[CHUNKED_KEY] = self.config.bupo.chunked_log_prob

    def _compute_old_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._name_policy(batch, self.phase)
        batch = super()._compute_old_log_prob(batch, metrics)
        self.observed = self._observe(batch)
        return batch

    def _observe(self, batch: KVBatchMeta) -> dict[str, float]:
        settings, rollout = self.settings.observe, self.config.actor_rollout_ref.rollout
        phase = observed_phase(self.schedule, self.phase, int(self.config.bupo.layers), settings)
        known = getattr(self.agent_loop_manager, "metrics", {})  # from a rollout that measures all responses
        if phase is None or (phase.layer is None and "bupo/entropy_full" in known):
            return {}
        ranks = max(self.actor_rollout_wg._dispatch_info["actor"]) + 1
        micro = 1 if rollout.log_prob_use_dynamic_bsz else rollout.log_prob_micro_batch_size_per_gpu
        keys = observed_keys(sorted(_real(batch), key=_natural), settings.responses, micro * ranks)
        if not keys:
            return {}
        named = copy.copy(batch)
        named.extra_info = dict(batch.extra_info or {})
        self._name_policy(named, phase)
        return observe(named, keys, self.phase, rollout.temperature, self.actor_rollout_wg)

    def _compute_ref_log_prob(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        self._name_policy(batch, self.phase)
        return super()._compute_ref_log_prob(batch, metrics)

    def _update_actor(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        if self.config.bupo.optimizer_at_switch == RESET and self.schedule.switches_at(self.global_steps):
            self.actor_rollout_wg.reset_optimizer()
        self._name_policy(batch, self.phase)
        return super()._update_actor(batch, metrics)

    # ------------------------------------------------------------------ what makes runs repeat

    def _fetch_one_gen_batch(self) -> TensorDict:
        # verl names prompts with random UUIDs
        batch = super()._fetch_one_gen_batch()
        names = [f"s{self.global_steps:06d}p{row:06d}" for row in range(len(batch))]
        batch["uid"] = NonTensorStack.from_list(names)
        return batch

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> KVBatchMeta:
        # the replay buffer's order is that of arrival
        batch.reorder(sorted(range(len(batch.keys)), key=lambda row: _natural(batch.keys[row])))
        return super()._balance_batch(batch, metrics, *args, **kwargs)

    # ------------------------------------------------------------------ metrics

    def on_train_begin(self) -> None:
        """Put our metrics file beside verl's loggers."""
        super().on_train_begin()
        model = load_generation_config(self.config.actor_rollout_ref.model.path, None)
        self.end_tokens = frozenset(end_tokens(model, self.tokenizer))
        cell = self.config.bupo
        self.progress = Progress(
            f"training {cell.model}/{cell.cell}/seed{cell.seed}",
            self.total_training_steps,
            "steps",
            done=self.global_steps - 1,
            stream=self.console,
        )
        self.logger: Any = MetricsFile(self.out / "metrics.jsonl", self.logger, self._after_metrics)

    def _after_metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        if self.mirror:
            self.mirror.log(step, metrics)
        self._commit(step)
        self._guard()
        note = f"{self.schedule.at(step).name}, reward {metrics.get('critic/score/mean', float('nan')):.3f}"
        self.progress.update(step, note)
        self._stop_after(step)

    def _compute_metrics(
        self, batch: KVBatchMeta, metrics: dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        super()._compute_metrics(batch, metrics, *args, **kwargs)
        phase = self.phase
        metrics["bupo/phase"] = phase.number
        metrics["bupo/layer"] = phase.layer.number if phase.layer else int(self.config.bupo.layers)
        metrics["bupo/internal"] = int(phase.layer is not None)
        data = tq.kv_batch_get(keys=_real(batch), partition_id=batch.partition_id, select_fields=list(FIELDS))
        metrics.update(response_metrics(data, self.config.data.max_response_length, self.end_tokens))
        name_policies(metrics, data, phase)
        # what is known of all responses goes before what was read of some
        metrics.update(self.observed | getattr(self.agent_loop_manager, "metrics", {}) | metrics)

    # ------------------------------------------------------------------ checkpoints and the result

    def _save_checkpoint(self) -> None:
        # into staging: `_after_metrics` makes it valid once the step's metrics are written
        root = self.config.trainer.default_local_dir
        self.config.trainer.default_local_dir = str(self.checkpoints.staging)
        self.save_began = time.monotonic()
        try:
            super()._save_checkpoint()
        finally:
            self.config.trainer.default_local_dir = root

    def _commit(self, step: int) -> None:
        if not self.checkpoints.staged(step):
            return
        if code := code_in(self.checkpoints.staging):
            raise RuntimeError(f"verl saved a checkpoint that it may not load again: {code}")
        lines = read_metrics(self.out / "metrics.jsonl")
        self.checkpoints.commit(step, score(lines, validated=self.config.trainer.test_freq > 0))
        self.stopping.saved(time.monotonic() - self.save_began)

    def on_step_begin(self) -> None:
        """Stop before a step where one should not begin and there is nothing to save."""
        super().on_step_begin()
        self.step_began = self.step_began or time.monotonic()
        self._guard()  # one that collapsed and was killed then has a checkpoint to go on from
        self._stop_after(self.global_steps - 1)

    def _guard(self) -> None:
        lines = read_metrics(self.out / "metrics.jsonl") if self.settings.collapse.enabled else []
        if evidence := find_collapse(lines, self.settings.collapse):
            raise Collapsed(evidence)

    def _stop_after(self, step: int) -> None:
        if step == self.checkpoints.last and step < self.total_training_steps and self.stopping.reason:
            again = self.stopping.signal is None and bool(self.stopping.steps)
            raise Stopped(f"after step {step} of {self.total_training_steps}, {self.stopping.reason}", again)

    def on_step_end(self) -> None:
        """Write what belongs to the step, while the rollout's memory is still free.

        That is its snapshot, if it has one, and a checkpoint if the run should stop here.
        """
        assert self.step_began is not None
        now = time.monotonic()
        self.stopping.took(now - self.step_began)
        self.step_began = now  # what lies between two steps belongs to a step too
        if self.stopping.reason and not self.checkpoints.staged(self.global_steps):
            with marked_timer("save_checkpoint", self.timing_raw):
                self._save_checkpoint()
        if self.global_steps in self.snapshots.steps:
            with marked_timer("save_snapshot", self.timing_raw):
                self._export(self.out / self.snapshots.folders[self.global_steps])
        super().on_step_end()

    def export(self) -> None:
        """Write the trained model to ``model/`` in Hugging Face's format."""
        shutil.rmtree(self.out / MODEL, ignore_errors=True)
        self._export(self.out / MODEL)

    def _export(self, folder: Path) -> None:
        partial = folder.parent / EXPORT_FOLDER
        self.actor_rollout_wg.save_checkpoint(str(partial), None, self.global_steps)
        publish_folder(partial, folder)


def _real(batch: KVBatchMeta) -> list[str]:
    """Keys of a batch's responses, without the padding."""
    return [key for key, tag in zip(batch.keys, batch.tags, strict=True) if not tag.get("is_padding", False)]


def _natural(key: str) -> tuple[str, int, int]:
    uid, session, index = key.rsplit("_", 2)
    return uid, int(session), int(index)


def check_registered(name: str) -> None:
    """Make sure that verl will take this trainer.

    Raises:
        RuntimeError: it would take another one.
    """
    from verl.trainer.ppo.v1 import get_trainer_cls

    if get_trainer_cls(name) is not ScheduledTrainer:
        raise RuntimeError(f"verl takes {get_trainer_cls(name).__name__} for the trainer {name!r}")

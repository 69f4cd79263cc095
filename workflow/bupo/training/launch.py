"""Runs verl's trainer in this process, with all its parts in it or on a Ray of its own."""

import gc
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from bupo.errors import UserError
from bupo.files import sha256_text
from bupo.training import safe_loading
from bupo.training.checkpoints import Checkpoints
from bupo.training.collapse import Collapse, Collapsed
from bupo.training.stopping import Stopped, Stopping

if TYPE_CHECKING:
    from bupo.tracking.mirror import Mirror
    from bupo.training.trainer import ScheduledTrainer

SOCKET_TAIL = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
SOCKET_LIMIT = 107
"""Longest path of a unix socket on Linux, in bytes."""


def environment(device: str, scratch: Path) -> dict[str, str]:
    """Environment variables of the run, for this process and for all that Ray starts.

    Args:
        device: ``cpu`` or ``cuda``.
        scratch: the run's folder for temporary files and caches.
    """
    values = {
        "HF_DATASETS_CACHE": str(scratch / "datasets"),
        "HYDRA_FULL_ERROR": "1",
        "TMPDIR": str(scratch),
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFER_QUEUE_ENABLE": "1",
        **safe_loading.ENVIRONMENT,
    }
    if device == "cpu":
        values["VERL_PLATFORM"] = "cpu"
    return values


def one_machine() -> dict[str, str]:
    """Environment variables that keep what ranks on one machine say to each other in it."""
    return {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": os.environ.get("NCCL_SOCKET_IFNAME", "=lo")}


def ray_environment(scratch: Path) -> dict[str, str]:
    """Environment variables of a Ray that belongs to this run alone."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": str(scratch),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def scratch_folder(out: Path, sockets: bool) -> Iterator[Path]:
    """A folder for what lasts as long as the run; what a killed run left in it is removed.

    Args:
        out: the run's folder, absolute.
        sockets: whether Ray puts its sockets there, whose paths have to be short.

    Raises:
        UserError: the machine's folder for temporary files has too long a name.
    """
    folder = out / ".scratch"
    if sockets:
        name = f"bupo-{os.getuid()}-{sha256_text(str(out))[:10]}"
        bases = [base for base in (tempfile.gettempdir(), "/tmp") if _fits_socket(Path(base) / name)]
        if not bases:
            raise UserError(
                f"TMPDIR = {tempfile.gettempdir()} is too long for Ray's sockets; it should be short."
            )
        folder = Path(bases[0]) / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fits_socket(folder: Path) -> bool:
    return len(os.fsencode(folder)) + SOCKET_TAIL <= SOCKET_LIMIT


@contextmanager
def output_to(log: Path) -> Iterator[TextIO]:
    """Send what this process and its children print to ``log``; yields the stderr from before.

    verl prints a thousand lines a run, in which progress and errors would drown.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with log.open("a", encoding="utf-8") as file, os.fdopen(os.dup(2), "w", buffering=1) as console:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield console
        except Stopped:
            raise
        except BaseException:
            print(f"training failed; what verl said before is in {log}", file=console)
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, number in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)


def check_plugin(device: str) -> None:
    """Make sure that verl loaded our entry point: it swallows what goes wrong there.

    Raises:
        RuntimeError: it did not, or it chose another platform than the CPU.
    """
    from verl.plugin.platform import PlatformRegistry, get_platform

    from bupo.training.platform_cpu import PlatformCpu

    if PlatformRegistry.get("cpu") is not PlatformCpu:
        raise RuntimeError("verl did not load the entry point verl.plugins: bupo; is the package installed?")
    if device == "cpu" and not isinstance(get_platform(), PlatformCpu):
        raise RuntimeError(f"verl runs on {type(get_platform()).__name__} though trainer.device = cpu")


def train(
    values: dict[str, Any],
    out: Path,
    where: str,
    mirror: "Mirror | None",
    checkpoints: Checkpoints,
    stopping: Stopping,
) -> Collapse | None:
    """Train until the last step and export the model.

    Args:
        values: the whole configuration, checked, paths absolute.
        out: the run's folder, absolute.
        where: the configuration file, for messages.
        mirror: takes each step's metrics for MLflow.
        checkpoints: the run's, prepared.
        stopping: says when to stop before the last step.

    Returns:
        What the run ended by before its last step, if it collapsed.

    Raises:
        Stopped: it did.
    """
    with_ray = not values["bupo"]["single_process"]
    with scratch_folder(out, sockets=with_ray) as scratch, output_to(out / "log.txt") as console:
        os.environ.update(environment(values["trainer"]["device"], scratch))
        os.environ.update(ray_environment(scratch) if with_ray else {})
        os.environ.update(one_machine() if values["trainer"]["nnodes"] == 1 else {})
        tempfile.tempdir = None  # Python keeps the folder that it looked up first
        from omegaconf import OmegaConf

        stopping.stream = console

        def prepare(trainer: "ScheduledTrainer") -> None:
            trainer.console, trainer.mirror = console, mirror
            trainer.checkpoints, trainer.stopping = checkpoints, stopping

        return _train(OmegaConf.create(values), out, where, console, prepare)


def _train(
    config: Any, out: Path, where: str, console: TextIO, prepare: Callable[["ScheduledTrainer"], None]
) -> Collapse | None:
    from verl.trainer import main_ppo
    from verl.trainer.ppo.reward import get_custom_reward_fn

    check_plugin(config.trainer.device)
    from bupo.training import patches, worker
    from bupo.training.batch_rollout import BatchRollout, Score
    from bupo.training.rollout import ROLLOUT_NAME
    from bupo.training.trainer import TRAINER_NAME, check_registered

    reward = get_custom_reward_fn(config)
    if reward is None:
        raise UserError(f"{where}: reward.custom_reward_function.path is missing; it should name a reward.")
    score = cast(Score, reward)
    patches.apply()
    check_registered(TRAINER_NAME)
    worker.check_engine(config.actor_rollout_ref.actor.strategy)
    gc.freeze()  # what is imported stays: the collector need not look at it again
    gc.enable()

    class Runner(main_ppo.TaskRunnerV1.__ray_metadata__.modified_class):  # type: ignore[name-defined, misc]
        """verl's task runner; run here and not in an actor, it saves a process that imports all of verl."""

        def init_agent_loop_manager(self) -> None:
            prepare(self.trainer)
            if self.config.actor_rollout_ref.rollout.name != ROLLOUT_NAME:
                super().init_agent_loop_manager()
                return
            self.agent_loop_manager = BatchRollout(
                self.config,
                self.trainer.actor_rollout_wg,
                self.trainer.tokenizer,
                score,
            )

    try:
        main_ppo.validate_config(
            config=config,
            use_reference_policy=main_ppo.need_reference_policy(config),
            use_critic=main_ppo.need_critic(config),
        )
    except (AssertionError, ValueError) as error:
        raise UserError(f"{where}: verl refuses it: {str(error).rstrip('.')}.") from error
    with _place(config, out, where, console):
        runner, collapse = Runner(), None
        try:
            runner.run(config)
        except Collapsed as collapsed:
            collapse = collapsed.evidence
            print(f"{out}: {collapse}", file=console)
        runner.trainer.export()
    return collapse


def _place(config: Any, out: Path, where: str, console: TextIO) -> AbstractContextManager[None]:
    """Where the parts of verl's trainer run: in this process, on this machine or on several."""
    from omegaconf import OmegaConf

    from bupo.training import patches
    from bupo.training.ray_cluster import ray_of_nodes
    from bupo.training.single_process import one_process

    if config.bupo.single_process:
        return one_process()
    patches.without_router()
    if config.trainer.nnodes == 1:
        return private_ray(config)
    values = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    return ray_of_nodes(values, out, where, console)


LOOPBACK = "127.0.0.2"
"""Address of the loopback interface. Ray takes 127.0.0.1 for a mistake, and an address that others can reach
instead, where verl's queue listens without a password."""


@contextmanager
def private_ray(config: Any) -> Iterator[None]:
    """A Ray of this run's own, on the loopback interface and with a password of its own."""
    import ray

    settings: dict[str, Any] = dict(config.ray_kwargs.ray_init)
    settings.pop("runtime_env", None)
    ray.init(address="local", _node_ip_address=LOOPBACK, include_dashboard=False, **settings)
    try:
        yield
    finally:
        ray.shutdown()

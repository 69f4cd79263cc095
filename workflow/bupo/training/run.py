"""One training run from its configuration file to ``done.json``."""

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field

from bupo.errors import UserError
from bupo.files import exclusive
from bupo.identity import changes_nothing, config_sha256
from bupo.training.checkpoints import Checkpoints, CheckpointSettings
from bupo.training.collapse import COLLAPSED, COMPLETED
from bupo.training.jobs import recorded
from bupo.training.manifest import is_done, not_kept, remove_manifest, write_manifest
from bupo.training.metrics import keep_until, read_metrics
from bupo.training.safe_loading import refuse_code
from bupo.training.snapshots import Snapshots
from bupo.training.stopping import Stopped, Stopping, find_deadline
from bupo.validation import load_yaml, validated

LOCK_POLL_S = 0.5


class _Bupo(BaseModel):
    """Keys of ``bupo`` that change nothing in what is trained."""

    checkpoints: CheckpointSettings = CheckpointSettings()
    time_limit_s: float | None = Field(default=None, gt=0)


class _Config(BaseModel):
    bupo: _Bupo


def run(config_file: Path, out: Path, tracking: Path | None = None, overrides: Path | None = None) -> None:
    """Train, or go on training, or do nothing where it is done.

    Args:
        config_file: the resolved configuration; relative paths in it count from the working directory.
        out: the run's folder: ``metrics.jsonl``, ``checkpoints/``, ``snapshots/``, ``model/``, ``done.json``
            and ``log.txt``.
        tracking: file with the MLflow address and the run's id there.
        overrides: list of ``key=value`` laid over the configuration, none of them part of its identity.

    Raises:
        UserError: the configuration asks for something that cannot be.
        Stopped: a signal came, or the time is over.
    """
    started = time.time()
    config = load_yaml(config_file)
    if not isinstance(config, dict) or not all(
        isinstance(config.get(key), dict) for key in ("bupo", "trainer")
    ):
        raise UserError(
            f"{config_file}: this is not a cell's configuration; `python -m bupo.experiment` writes them."
        )
    config = _overridden(config, overrides)
    settings = validated(_Config, config, config_file).bupo
    identity, snapshots = config_sha256(config), Snapshots.of(config, out, str(config_file))
    checkpoints = Checkpoints(out.resolve() / "checkpoints", identity, settings.checkpoints)
    if is_done(out, identity, snapshots):
        checkpoints.finish()
        print(f"{out}: done already")
        return
    # before torch is imported: its threads, too, leave the signals to `Stopping`
    with Stopping(find_deadline(settings.time_limit_s, started)) as stopping:
        _train(config, str(config_file), out, tracking, checkpoints, snapshots, stopping)


def _train(
    config: dict[str, Any],
    where: str,
    out: Path,
    tracking: Path | None,
    checkpoints: Checkpoints,
    snapshots: Snapshots,
    stopping: Stopping,
) -> None:
    # not above: these import torch, and a run that is done should be told so at once
    gc.disable()  # a quarter of the start-up is the collector going through what was just imported
    from bupo.training import patches

    patches.without_sklearn()
    from bupo.training.launch import train
    from bupo.training.mlflow_run import find, mirrored
    from bupo.training.settings import check

    check(config, where)
    tracked = find(tracking, config) if tracking else None
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out, stopping), ExitStack() as stack:
        if is_done(out, checkpoints.identity, snapshots):
            return
        if missing := not_kept(out, checkpoints.identity, snapshots):
            named = ", ".join(map(str, missing))
            print(
                f"{out}: done, but without the snapshots of step {named}; only training again makes them",
                file=sys.stderr,
            )
        started = time.time()
        remove_manifest(out)
        jobs = stack.enter_context(recorded(out, config, checkpoints.identity))
        first = _start(checkpoints, out / "metrics.jsonl", snapshots)
        if first:
            refuse_code(checkpoints.folder(first))
            print(f"{out}: going on after step {first}", file=sys.stderr)
        values = _with_paths(config, out.resolve())
        mirror = None
        if tracking and tracked:
            mirror = stack.enter_context(mirrored(tracking, tracked, Path(where), out / "metrics.jsonl"))
        collapse = train(values, out.resolve(), where, mirror, checkpoints, stopping)
        total = config["trainer"]["total_training_steps"]
        steps, last = len(read_metrics(out / "metrics.jsonl")), collapse.step if collapse else total
        if steps != last:
            raise RuntimeError(f"{out}: {steps} steps were trained, not {last}")
        made = snapshots.until(last)
        made.keep_until(last)
        status = COLLAPSED if collapse else COMPLETED
        account = {
            "status": status,
            **({"collapse": collapse.account()} if collapse else {}),
            **{"steps": steps, "resumed_from": first, "wall_s": round(time.time() - started, 1)},
            "jobs": jobs.end(status),
        }
        write_manifest(out, checkpoints.identity, made, account | checkpoints.account())
        checkpoints.finish()


def _start(checkpoints: Checkpoints, metrics: Path, snapshots: Snapshots) -> int:
    """Bring checkpoints, metrics and snapshots to the same step; 0 where there is nothing to go on from."""
    while first := checkpoints.prepare():
        lines = [line["step"] for line in read_metrics(metrics) if line["step"] <= first]
        if lines != list(range(1, first + 1)):
            checkpoints.set_aside(first, f"{metrics.name} lacks some of the lines up to it")
        elif not snapshots.keep_until(first):
            # or more of them are asked for than before
            checkpoints.set_aside(first, "a snapshot up to it is missing")
        else:
            break
    keep_until(metrics, first)
    snapshots.keep_until(first)
    return first


@contextmanager
def _lock(out: Path, stopping: Stopping) -> Iterator[None]:
    """Keep a second process away from ``out``: it waits.

    A job that outlived a killed workflow is not disturbed by the same command, which then finds it done.
    """
    told = False
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(exclusive(out / ".lock", wait=False))
                break
            except BlockingIOError:
                if not told:
                    print(f"{out}: another process is training this run; waiting for it", file=sys.stderr)
                told = True
            if stopping.reason:
                raise Stopped(f"{stopping.reason} while waiting for another process", not stopping.signal)
            time.sleep(LOCK_POLL_S)
        yield


def _overridden(config: dict[str, Any], overrides: Path | None) -> dict[str, Any]:
    """The configuration with the values of a list of overrides.

    Raises:
        UserError: one of them would make it another run.
    """
    texts = (load_yaml(overrides) or []) if overrides else []
    if not texts:
        return config
    if bad := [text for text in texts if not changes_nothing(text)]:
        raise UserError(f"{overrides}: {bad[0]} is part of the run's identity; --config should have it.")
    from omegaconf import OmegaConf

    laid_over = OmegaConf.merge(config, OmegaConf.from_dotlist([text.lstrip("+") for text in texts]))
    return cast(dict[str, Any], OmegaConf.to_container(laid_over))


def _with_paths(config: dict[str, Any], out: Path) -> dict[str, Any]:
    """The configuration with absolute paths, which hold in Ray's workers too."""
    config = json.loads(json.dumps(config))
    data, model = config["data"], config["actor_rollout_ref"]["model"]
    for key in ("train_files", "val_files"):
        files = data[key]
        data[key] = [str(Path(file).resolve()) for file in ([files] if isinstance(files, str) else files)]
    for settings in (model, config["critic"]["model"]):
        if Path(settings["path"]).exists():
            settings["path"] = str(Path(settings["path"]).resolve())
    config["trainer"]["default_local_dir"] = str(out / "checkpoints")
    return config

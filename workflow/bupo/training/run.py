"""One training run from its configuration file to ``done.json``."""

import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import exclusive, read_json, sha256_file, sha256_text, write_json
from bupo.training.checkpoints import Checkpoints
from bupo.training.metrics import keep_until, read_metrics
from bupo.validation import load_yaml

MODEL = "model"
DONE = "done.json"
MANIFEST = ".manifest.json"
"""A copy of ``done.json``: a workflow removes its outputs before it runs a job again, for instance when the
job was killed after it was done, and a training that is whole should not be paid for twice."""


def config_sha256(config: dict[str, Any]) -> str:
    """A run's identity: hash of its configuration's values, whatever their order and comments in the file."""
    return sha256_text(json.dumps(config, sort_keys=True, allow_nan=False))


def run(config_file: Path, out: Path, tracking: Path | None = None) -> None:
    """Train, or go on training, or do nothing where it is done.

    Args:
        config_file: the resolved configuration; relative paths in it count from the working directory.
        out: the run's folder: ``metrics.jsonl``, ``checkpoints/``, ``model/``, ``done.json`` and ``log.txt``.
        tracking: file with the MLflow address and the run's id there.

    Raises:
        UserError: the configuration asks for something that cannot be, or another process works on ``out``.
    """
    config = load_yaml(config_file)
    if not isinstance(config, dict) or "bupo" not in config or "trainer" not in config:
        raise UserError(
            f"{config_file}: this is not a cell's configuration; `python -m bupo.experiment` writes them."
        )
    identity = config_sha256(config)
    if _is_done(out, identity):
        Checkpoints(out.resolve() / "checkpoints").remove()
        print(f"{out}: done already")
        return
    # not above: these import torch, and a run that is done should be told so at once
    gc.disable()  # a quarter of the start-up is the collector going through what was just imported
    from bupo.training import patches

    patches.without_sklearn()
    from bupo.training.launch import train
    from bupo.training.mlflow_run import attach, complete, find, logged_steps
    from bupo.training.settings import check

    check(config, str(config_file))
    tracked = find(tracking, config) if tracking else None
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        if _is_done(out, identity):
            return
        started = time.time()
        for name in (DONE, MANIFEST):
            (out / name).unlink(missing_ok=True)
        checkpoints = Checkpoints(out.resolve() / "checkpoints")
        first = _start(checkpoints, out / "metrics.jsonl", identity)
        if first:
            print(f"{out}: going on after step {first}", file=sys.stderr)
        values = _with_paths(config, out.resolve())
        if tracked:
            attach(tracked, values)
        logged = logged_steps(tracked) if tracked and first else set()
        train(values, out.resolve(), str(config_file), logged)
        if tracked:
            complete(tracked, out / "metrics.jsonl")
        steps = len(read_metrics(out / "metrics.jsonl"))
        if steps != config["trainer"]["total_training_steps"]:
            raise RuntimeError(
                f"{out}: {steps} steps were trained, not {config['trainer']['total_training_steps']}"
            )
        files = [out / "metrics.jsonl", *sorted(path for path in (out / MODEL).rglob("*") if path.is_file())]
        manifest = {
            "config_sha256": identity,
            "steps": steps,
            "resumed_from": first,
            "wall_s": round(time.time() - started, 1),
            "files": {str(path.relative_to(out)): sha256_file(path) for path in files},
        }
        for name in (MANIFEST, DONE):
            write_json(out / name, manifest)
        checkpoints.remove()


def _start(checkpoints: Checkpoints, metrics: Path, identity: str) -> int:
    """Bring checkpoints and metrics to the same step; 0 where there is nothing to go on from."""
    first = checkpoints.prepare(identity)
    if [line["step"] for line in keep_until(metrics, first)] == list(range(1, first + 1)):
        return first
    checkpoints.remove()  # somebody took lines away: the run could not be made whole
    keep_until(metrics, 0)
    return checkpoints.prepare(identity)


def _is_done(out: Path, identity: str) -> bool:
    """Whether this configuration is trained; brings ``done.json`` back where only that was removed."""
    for name in (DONE, MANIFEST):
        path = out / name
        if path.exists() and read_json(path)["config_sha256"] == identity:
            break
    else:
        return False
    manifest = read_json(path)
    if any(
        not (out / file).is_file() or sha256_file(out / file) != sha
        for file, sha in manifest["files"].items()
    ):
        return False
    if name != DONE:
        write_json(out / DONE, manifest)
    return True


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep a second process away from ``out``: it waits.

    A job that outlived a killed workflow is not disturbed by the same command, which then finds it done.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(out / ".lock", wait=False))
        except BlockingIOError:
            print(f"{out}: another process is training this run; waiting for it", file=sys.stderr)
            stack.enter_context(exclusive(out / ".lock"))
        yield


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

"""One training run from its configuration file to ``done.json``."""

import fcntl
import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import read_json, sha256_file, sha256_text, write_json
from bupo.training.checkpoints import Checkpoints
from bupo.training.metrics import keep_until, read_metrics
from bupo.validation import load_yaml

MODEL = "model"


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
    done = out / "done.json"
    if done.exists() and read_json(done)["config_sha256"] == identity:
        Checkpoints(out.resolve() / "checkpoints").remove()
        print(f"{out}: done already")
        return
    # not above: these import torch, and a run that is done should be told so at once
    gc.disable()  # a quarter of the start-up is the collector going through what was just imported
    from bupo.training import patches

    patches.without_sklearn()
    from bupo.training.launch import train
    from bupo.training.mlflow_run import attach, complete, find
    from bupo.training.settings import check

    check(config, str(config_file))
    tracked = find(tracking, config) if tracking else None
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out):
        started = time.time()
        done.unlink(missing_ok=True)
        checkpoints = Checkpoints(out.resolve() / "checkpoints")
        first = checkpoints.prepare(identity)
        keep_until(out / "metrics.jsonl", first)
        if first:
            print(f"{out}: going on after step {first}", file=sys.stderr)
        values = _with_paths(config, out.resolve())
        if tracked:
            attach(tracked, values)
        train(values, out.resolve(), str(config_file))
        if tracked:
            complete(tracked, out / "metrics.jsonl")
        steps = len(read_metrics(out / "metrics.jsonl"))
        if steps != config["trainer"]["total_training_steps"]:
            raise RuntimeError(
                f"{out}: {steps} steps were trained, not {config['trainer']['total_training_steps']}"
            )
        files = [out / "metrics.jsonl", *sorted(path for path in (out / MODEL).rglob("*") if path.is_file())]
        write_json(
            done,
            {
                "config_sha256": identity,
                "steps": steps,
                "resumed_from": first,
                "wall_s": round(time.time() - started, 1),
                "files": {str(path.relative_to(out)): sha256_file(path) for path in files},
            },
        )
        checkpoints.remove()


@contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Keep a second process away from ``out``; the lock goes with the process that holds it."""
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{out}: another process is training this run; wait for it or end it first."
            ) from None
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

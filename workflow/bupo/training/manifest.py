"""``done.json``: what a finished run consists of.

Where the kept snapshots are those that are asked for, or more, nothing is trained; where one is missing it
cannot be made afterwards, and the run is trained again. So it is where its training problems have changed.
"""

from pathlib import Path
from typing import Any

from bupo.files import read_json, sha256_file, write_json
from bupo.training.snapshots import Snapshots

DONE = "done.json"
MANIFEST = ".manifest.json"
"""What ``done.json`` was when the training ended, with every snapshot. A workflow removes its outputs before
it runs a job again, for instance when the job was killed after it was done, and a training that is whole
should not be paid for twice."""


def write_manifest(out: Path, identity: str, snapshots: Snapshots, account: dict[str, Any]) -> None:
    """Write down that the run is done: the hash of each of its files, and where its snapshots are.

    Args:
        out: the run's folder.
        identity: hash of the run's configuration.
        snapshots: those that it has.
        account: what else is told of the run.
    """
    folders = [out / folder for folder in snapshots.folders.values()]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    manifest = {
        "config_sha256": identity,
        **account,
        "files": {str(path.relative_to(out)): sha256_file(path) for path in [out / "metrics.jsonl", *files]},
        "snapshots": {str(step): folder for step, folder in snapshots.folders.items()},
    }
    for name in (MANIFEST, DONE):
        write_json(out / name, manifest)


def remove_manifest(out: Path) -> None:
    """The run is not done any more."""
    for name in (DONE, MANIFEST):
        (out / name).unlink(missing_ok=True)


def not_kept(out: Path, identity: str, snapshots: Snapshots) -> list[int]:
    """Steps of a finished run that are asked for and were not kept; empty for a run that is not finished."""
    manifest = _read(out, identity)
    if not manifest:
        return []
    return [
        step for step in snapshots.until(manifest["steps"]).steps if str(step) not in manifest["snapshots"]
    ]


def is_done(out: Path, identity: str, snapshots: Snapshots) -> bool:
    """Whether this configuration is trained, with the snapshots that are asked for and all files whole.

    If so, ``done.json`` lists these snapshots; it is written only where it does not.
    """
    manifest = _read(out, identity)
    if not manifest or _of_other_problems(manifest) or not_kept(out, identity, snapshots):
        return False
    done = _with_snapshots(manifest, snapshots.until(manifest["steps"]))
    for file, sha in done["files"].items():
        if not (out / file).is_file() or sha256_file(out / file) != sha:
            return False
    if not (out / DONE).exists() or read_json(out / DONE) != done:
        write_json(out / DONE, done)
    return True


def _read(out: Path, identity: str) -> dict[str, Any]:
    """What is written down of this configuration; empty where nothing is."""
    path = next((out / name for name in (MANIFEST, DONE) if (out / name).exists()), None)
    manifest = read_json(path) if path else {}
    return manifest if manifest.get("config_sha256") == identity else {}


def _of_other_problems(manifest: dict[str, Any]) -> bool:
    """Whether a file with training problems has changed since; one that is away cannot be asked."""
    calls = manifest.get("jobs") or [{}]
    files = calls[-1].get("train_files", {})
    return any(Path(file).is_file() and sha256_file(file) != sha for file, sha in files.items())


def _with_snapshots(manifest: dict[str, Any], snapshots: Snapshots) -> dict[str, Any]:
    kept = ("metrics.jsonl", *(f"{folder}/" for folder in snapshots.folders.values()))
    return {
        **manifest,
        "files": {file: sha for file, sha in manifest["files"].items() if file.startswith(kept)},
        "snapshots": {str(step): folder for step, folder in snapshots.folders.items()},
    }

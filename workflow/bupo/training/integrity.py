"""A folder whose every file can be checked: a manifest with the size and the SHA-256 of each of them.

The manifest holds its own hash too, and counts only if it is to the byte what this module writes. A file
that is missing, additional, truncated, zeroed or changed by one bit is found and named, also the manifest.
"""

import importlib.metadata
import json
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bupo.files import sha256_file, sha256_text
from bupo.validation import Strict

MANIFEST = "manifest.json"
PACKAGES = ("torch", "verl", "transformers", "numpy")
"""Those whose versions decide what a checkpoint holds and how a training goes on from it."""
NAMED_AT_MOST = 3


class FileRecord(Strict):
    """What a file was when it was written: its size in bytes and its hash."""

    size: int
    sha256: str


class Score(Strict):
    """How good the policy of a checkpoint is: larger is better."""

    metric: str
    value: float


class Manifest(Strict):
    """What is known of a checkpoint.

    Attributes:
        step: the trainer step after which it was written.
        identity: hash of the run's configuration.
        versions: of Python and `PACKAGES`.
        score: None where it was not asked for or nothing was measured.
        files: by path relative to the folder, without the manifest.
    """

    step: int
    identity: str
    versions: dict[str, str]
    score: Score | None
    files: dict[str, FileRecord]


class Damaged(Exception):
    """Files of a folder that are not as they were written, and what is wrong with each."""


def versions() -> dict[str, str]:
    """The versions of what runs here."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **found}


def seal(folder: Path, step: int, identity: str, score: Score | None = None) -> None:
    """Write the manifest of all that is in ``folder``."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        paths = sorted(_files(folder))
        records = pool.map(_record, (folder / path for path in paths))
        files = dict(zip(paths, records, strict=True))
    manifest = Manifest(step=step, identity=identity, versions=versions(), score=score, files=files)
    (folder / MANIFEST).write_text(_text(manifest), encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest alone; the files are not looked at.

    Raises:
        Damaged: it is missing or not as it was written.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = Manifest.model_validate(json.loads(text)["manifest"])
    except FileNotFoundError:
        raise Damaged(f"{MANIFEST} is missing") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValidationError):
        raise Damaged(f"{MANIFEST} cannot be read") from None
    if text != _text(manifest):
        raise Damaged(f"{MANIFEST} is not as it was written")
    return manifest


def verify(folder: Path) -> Manifest:
    """Compare every file of ``folder`` with the manifest.

    Raises:
        Damaged: one is missing, additional or not as it was written.
    """
    manifest = read_manifest(folder)
    found = _files(folder)
    faults = dict.fromkeys(manifest.files.keys() - found, "is missing")
    faults |= dict.fromkeys(found - manifest.files.keys(), "does not belong to it")
    both = sorted(found & manifest.files.keys())
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        compared = pool.map(lambda path: _fault(folder / path, manifest.files[path]), both)
        faults |= {path: fault for path, fault in zip(both, compared, strict=True) if fault}
    if faults:
        named = [f"{path} {fault}" for path, fault in sorted(faults.items())]
        more = [f"and {len(named) - NAMED_AT_MOST} more"] if len(named) > NAMED_AT_MOST else []
        raise Damaged(", ".join(named[:NAMED_AT_MOST] + more))
    return manifest


def _fault(path: Path, record: FileRecord) -> str | None:
    try:
        found = _record(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found.size != record.size:
        return f"has {found.size} bytes and not {record.size}"
    return None if found == record else "is not as it was written"


def _record(path: Path) -> FileRecord:
    return FileRecord(size=path.stat().st_size, sha256=sha256_file(path))


def _files(folder: Path) -> set[str]:
    """All but folders, by path: a link is not followed into one."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in paths} - {MANIFEST}


def _text(manifest: Manifest) -> str:
    content: dict[str, Any] = manifest.model_dump()
    sha = sha256_text(json.dumps(content, sort_keys=True))
    return json.dumps({"sha256": sha, "manifest": content}, indent=2, sort_keys=True) + "\n"

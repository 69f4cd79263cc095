"""Files that are either whole or absent: written to a temporary name, synced, renamed."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

# ten times as fast where libyaml is there
_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed to ``path``.

    A process killed at any byte leaves either the old file or the new one, never a part of one. So does a
    machine that loses its power, unless ``durable`` is false: then nothing is synced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file or a directory entry to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_folder(written: Path, folder: Path) -> None:
    """Sync the folder ``written`` with all that is in it and rename it to ``folder``, which is not there yet.

    A process killed anywhere leaves ``folder`` whole or absent.
    """
    for path in sorted(written.rglob("*"), reverse=True):
        sync(path)
    sync(written)
    written.replace(folder)
    sync(folder.parent)


def write_text(path: str | Path, text: str, *, durable: bool = True) -> None:
    """Write ``text`` atomically."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def holds(path: str | Path, text: str) -> bool:
    """Whether the file is there and holds exactly ``text``."""
    path = Path(path)
    return path.exists() and path.read_text(encoding="utf-8") == text


def write_text_if_changed(path: str | Path, text: str) -> bool:
    """Write ``text`` unless the file already holds it; its time stamp then stays. True if written."""
    if holds(path, text):
        return False
    write_text(path, text)
    return True


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def to_yaml(value: Any, *, sort_keys: bool = False) -> str:
    """``value`` as YAML, with its keys in the order given or sorted."""
    return yaml.dump(value, Dumper=_DUMPER, sort_keys=sort_keys, allow_unicode=True, width=110)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file (safe loader: no Python objects)."""
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_SAFE)


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on the file ``path``; the kernel frees it when the process dies.

    Raises:
        BlockingIOError: another process holds it and ``wait`` is false.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def is_held(path: str | Path) -> bool:
    """Whether a process holds the lock on a file; where there is no file, or no locks, none does."""
    try:
        with Path(path).open("rb") as file:
            # shared, and let go of at once: a process that wants it in just this moment finds it taken
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

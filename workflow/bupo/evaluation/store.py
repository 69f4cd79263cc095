"""Stored samples: parquet files with texts, of which only what is asked for is ever in memory.

A file is whole or absent and carries the origin of its samples, so that those of another model or temperature
are never taken for these. Which file holds a sample is of no importance: whatever lies in the folder of an
evaluation is found, and a sample that is there twice counts once.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from bupo.errors import UserError
from bupo.evaluation.origin import Origin
from bupo.evaluation.sampling import Sample
from bupo.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

IDENTITY, ORIGIN = b"bupo_sampling", b"bupo_origin"
SHARDS, PIECES = "shard-*.parquet", "partial-*/piece-*.parquet"
BLOCK = 1024
"""Samples that are in memory together, in writing and in grading (at least those of one problem)."""

_TYPES = {"problem_id": pa.string(), "text": pa.string(), "finish_reason": pa.string(), "key": pa.string()}
SCHEMA = pa.schema([(field.name, _TYPES.get(field.name, pa.int64())) for field in fields(Sample)])

Key = tuple[str, int]


class Store:
    """The samples of one origin that lie in a folder.

    Args:
        folder: of the evaluation.
        identity: of the origin.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._files: list[Path] = []
        self._places: dict[str, dict[int, tuple[int, int]]] = {}  # problem -> sample -> file and row group
        for path in (*sorted(folder.glob(SHARDS)), *sorted(folder.glob(PIECES))):
            with opened(path) as file:
                if _identity(file) == identity:
                    self._index(path, file)

    def __contains__(self, key: Key) -> bool:
        """Whether the sample is there."""
        return key[1] in self._places.get(key[0], ())

    def read(self, keys: Iterable[Key]) -> list[Sample]:
        """Samples that are there, in the order of ``keys``."""
        keys = list(keys)
        places: dict[tuple[int, int], set[Key]] = {}
        for key in keys:
            places.setdefault(self._places[key[0]][key[1]], set()).add(key)
        found: dict[Key, Sample] = {}
        for (number, group), wanted in sorted(places.items()):
            with opened(self._files[number]) as file:
                table = file.read_row_group(group)
            held = zip(table["problem_id"].to_pylist(), table["sample"].to_pylist(), strict=True)
            rows = [row for row, key in enumerate(held) if key in wanted]
            for row in table.take(rows).to_pylist():
                found[row["problem_id"], row["sample"]] = Sample(**row)
        return [found[key] for key in keys]

    def _index(self, path: Path, file: pq.ParquetFile) -> None:
        number = len(self._files)
        self._files.append(path)
        for group in range(file.num_row_groups):
            place = (number, group)
            for problem, sample in _keys(file, group):
                self._places.setdefault(problem, {}).setdefault(sample, place)


def write_samples(path: Path, groups: Iterable[Sequence[Sample]], origin: Origin) -> None:
    """Write samples atomically, one row group for each of ``groups``."""
    metadata = {IDENTITY: origin.identity.encode(), ORIGIN: json.dumps(asdict(origin)).encode()}
    schema = SCHEMA.with_metadata(metadata)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for samples in groups:
            columns = {name: [getattr(sample, name) for sample in samples] for name in SCHEMA.names}
            writer.write_table(pa.Table.from_pydict(columns, schema=schema))


def holds(path: Path, identity: str) -> bool:
    """Whether the file is there and its samples are of this origin."""
    if not path.is_file():
        return False
    with opened(path) as file:
        return _identity(file) == identity


def keys_of(path: Path) -> set[Key]:
    """Which samples a file holds."""
    with opened(path) as file:
        return {key for group in range(file.num_row_groups) for key in _keys(file, group)}


def stored_origins(folder: Path) -> list[Origin]:
    """The origins of all samples that lie in a folder, each as often as there are files of it."""
    found = []
    for path in (*sorted(folder.glob(SHARDS)), *sorted(folder.glob(PIECES))):
        with opened(path) as file:
            told = (file.schema_arrow.metadata or {}).get(ORIGIN)
        if told is not None:
            found.append(Origin(**json.loads(told)))
    return found


def first_texts(folder: Path, identity: str | None) -> "pd.DataFrame | None":
    """The text of the first sample of every problem: problem_id, sample, text; None where there are no files.

    Args:
        folder: of the evaluation.
        identity: of the samples' origin; None for samples of any.
    """
    import pandas as pd

    columns = ["problem_id", "sample", "text"]
    tables = [
        pd.read_parquet(path, columns=columns, filters=[("sample", "==", 0)])
        for path in sorted(folder.glob(SHARDS))
        if identity is None or holds(path, identity)
    ]
    return pd.concat(tables).drop_duplicates(columns[:2]) if tables else None


def blocks(problems: Sequence[str], samples: int) -> Iterator[Sequence[str]]:
    """The problems in a row, so many at a time that their samples fit into a `BLOCK`."""
    size = max(1, BLOCK // samples)
    for start in range(0, len(problems), size):
        yield problems[start : start + size]


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file to read from.

    Raises:
        UserError: it is no parquet file, or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowInvalid as error:
        reason = str(error).split("\n", maxsplit=1)[0].rstrip(".")
        raise UserError(
            f"{path} cannot be read ({reason}); without this file its samples are drawn again."
        ) from error


def _identity(file: pq.ParquetFile) -> str:
    return (file.schema_arrow.metadata or {}).get(IDENTITY, b"").decode()


def _keys(file: pq.ParquetFile, group: int) -> Iterator[Key]:
    table = file.read_row_group(group, columns=["problem_id", "sample"])
    return zip(table["problem_id"].to_pylist(), table["sample"].to_pylist(), strict=True)

"""The parquet files of the analysis, written and read as streams."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bupo.entropy.responses import Response
from bupo.files import atomic_path

ABOUT = b"bupo_entropy"
ROWS = 64  # of responses in one row group

RESPONSES = pa.schema(
    [
        ("set", pa.string()),
        ("problem_id", pa.string()),
        ("sample", pa.int64()),
        ("gold", pa.string()),
        ("response", pa.string()),
        ("prompt_ids", pa.list_(pa.int64())),
        ("response_ids", pa.list_(pa.int64())),
        ("n_tokens", pa.int64()),
        ("finished", pa.bool_()),
        ("correct", pa.bool_()),
        ("status", pa.string()),
    ]
)


class SliceSums(NamedTuple):
    """Sums of every quantity over the tokens of one problem and slice; a row of ``sums.parquet``.

    Attributes:
        n_tokens: how many they are, over all responses to the problem.
        sums: float64 [R].
    """

    set: str
    problem_id: str
    slice: str
    n_tokens: int
    sums: NDArray[np.float64]


def write_responses(path: Path, responses: Iterable[Response], about: dict[str, Any] | None = None) -> None:
    """Write responses as they come, atomically."""
    rows = iter(responses)
    groups = iter(lambda: [asdict(row) for row in islice(rows, ROWS)], [])
    _write(path, RESPONSES, (pa.Table.from_pylist(group, RESPONSES) for group in groups), about)


def read_responses(path: Path) -> Iterator[Response]:
    """The responses of a file, one row group in memory at a time."""
    for batch in pq.ParquetFile(path).iter_batches(ROWS):
        for place in range(batch.num_rows):
            yield Response(**batch.slice(place, 1).to_pylist()[0])


def count_tokens(path: Path) -> int:
    """How many tokens the responses of a file have."""
    return int(sum(pq.read_table(path, columns=["n_tokens"])["n_tokens"].to_pylist()))


def write_sums(
    path: Path, problems: Iterable[list[SliceSums]], size: int, about: dict[str, Any] | None = None
) -> None:
    """Write the sums of problem after problem as they come, atomically, one row group each; R is ``size``."""
    schema = pa.schema(
        [
            ("set", pa.string()),
            ("problem_id", pa.string()),
            ("slice", pa.string()),
            ("n_tokens", pa.int64()),
            ("sums", pa.list_(pa.float64(), size)),
        ]
    )

    def table(rows: list[SliceSums]) -> pa.Table:
        *columns, sums = zip(*rows, strict=True)
        flat = pa.array(np.concatenate(sums), pa.float64())
        arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=False)]
        return pa.Table.from_arrays([*arrays, pa.FixedSizeListArray.from_arrays(flat, size)], schema=schema)

    _write(path, schema, (table(rows) for rows in problems), about)


def read_sums(path: Path) -> Iterator[SliceSums]:
    """The sums of a file, one problem in memory at a time."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        sums = table["sums"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
        columns = (table[name].to_pylist() for name in SliceSums._fields[:-1])
        yield from map(SliceSums, *columns, sums)


def about(path: Path) -> dict[str, Any]:
    """What a file says of itself; empty where it does not exist or says nothing."""
    if not path.is_file():
        return {}
    return json.loads((pq.read_schema(path).metadata or {}).get(ABOUT, b"{}"))


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table], about: dict[str, Any] | None) -> None:
    if about is not None:
        schema = schema.with_metadata({ABOUT: json.dumps(about, allow_nan=False).encode()})
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(schema.metadata))

"""Reading problem sets in the forms they are published in: JSON (list, lines, columns), parquet, tar, folder.

The content tells the form, never the suffix (public ``.json`` and ``.txt`` files hold JSON lines).
"""

import io
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.files import sha256_text

Row = dict[str, Any]


@dataclass(frozen=True)
class UpstreamRow:
    """One row as upstream has it: its file (``archive:member`` in an archive), its number from 0."""

    file: str
    number: int
    values: Row

    def digest(self) -> str:
        """First 32 hex digits of the SHA-256 of the row as JSON with sorted keys."""
        text = json.dumps(self.values, sort_keys=True, ensure_ascii=False, default=str)
        return sha256_text(text.encode("utf-8", "backslashreplace").decode("utf-8"))[:32]


def read_rows(path: Path, shown: str, form: str = "auto") -> Iterator[UpstreamRow]:
    """All rows of a file, an archive or a folder.

    Args:
        path: where it is.
        shown: its name in the rows and in messages.
        form: ``auto``, or one of the forms, which then must be right.

    Raises:
        UserError: it is missing, empty, cut off, not in UTF-8, or in no form that can be read.
    """
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder; the set needs it as {shown}.")
    found = form_of(path)
    if form not in ("auto", found):
        raise UserError(f"{path}: form is {form} but the content is {found}; form: auto would be right.")
    if found == "folder":
        yield from _folder_rows(path, shown)
    elif found == "parquet":
        yield from _parquet_rows(path, shown)
    elif found == "tar":
        yield from _tar_rows(path, shown)
    else:
        yield from _numbered(json_rows(path.read_bytes(), str(path)), shown)


def form_of(path: Path) -> str:
    """The form of what lies at ``path``: folder, parquet, tar, json or jsonl."""
    if path.is_dir():
        return "folder"
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if not head.strip():
        raise UserError(f"{path}: the file is empty; a problem set with at least one row would be right.")
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"\xfd7zXZ\x00", b"\x1f\x8b", b"BZh")) or head[257:262] == b"ustar":
        return "tar"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        return "json"
    if start.startswith(b"{"):
        return "jsonl" if _more_than_one_value(path) else "json"
    raise UserError(
        f"{path}: this is neither JSON, JSON lines, parquet nor tar; one of these would be right."
    )


def _more_than_one_value(path: Path) -> bool:
    text = decode(path.read_bytes(), str(path)).strip()
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
    except json.JSONDecodeError:
        return True  # read as lines, so that the message can name the line
    return end < len(text)


def decode(content: bytes, where: str) -> str:
    """Bytes as UTF-8 text, with or without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: byte {error.start} (0x{content[error.start]:02x}) is not UTF-8; "
            "the file in UTF-8 would be right."
        ) from None


def json_rows(content: bytes, where: str) -> list[Row]:
    """Rows of a JSON text: a list of objects, one object a line, one object, or an object of columns."""
    text = decode(content, where).strip()
    if not text:
        raise UserError(f"{where}: the file is empty; a problem set with at least one row would be right.")
    value, rest = _first_value(text, where)
    if rest:
        return _json_lines(text, where)
    if isinstance(value, dict):
        return _columns_to_rows(value) if _is_columns(value) else [value]
    return _objects(value, where)


def _first_value(text: str, where: str) -> tuple[Any, str]:
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except json.JSONDecodeError as error:
        if text.startswith("{"):
            return None, text
        raise UserError(
            f"{where}: the JSON breaks in line {error.lineno}, column {error.colno} ({error.msg}); "
            "a whole file would be right."
        ) from None
    return value, text[end:].strip()


def _json_lines(text: str, where: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: U+2028 may stand in a string
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line, strict=False))
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: line {number} is not JSON ({error.msg}, column {error.colno}); "
                "one object in each line would be right."
            ) from None
    return _objects(rows, where)


def _objects(value: Any, where: str) -> list[Row]:
    if not isinstance(value, list) or not value:
        raise UserError(
            f"{where}: the JSON holds no rows; a list of objects with at least one would be right."
        )
    for number, row in enumerate(value):
        if not isinstance(row, dict):
            raise UserError(
                f"{where}: row {number} is {json.dumps(row)[:60]}; an object with column names "
                "would be right."
            )
    return value


def _is_columns(value: Row) -> bool:
    """Whether an object is a table by columns, as pandas writes it: {column: {row: value}}."""
    columns = list(value.values())
    return bool(columns) and all(isinstance(c, dict) and c.keys() == columns[0].keys() and c for c in columns)


def _columns_to_rows(value: Row) -> list[Row]:
    first = next(iter(value.values()))
    return [{column: cells[key] for column, cells in value.items()} for key in first]


def _numbered(rows: list[Row], shown: str) -> Iterator[UpstreamRow]:
    for number, row in enumerate(rows):
        yield UpstreamRow(shown, number, row)


def _parquet_rows(path: Path, shown: str) -> Iterator[UpstreamRow]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if file.metadata.num_rows == 0:
                raise UserError(f"{path}: the parquet file has no rows; at least one would be right.")
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    yield UpstreamRow(shown, number, row)
                    number += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the parquet file cannot be read ({_reason(error)}); a whole file would be right."
        ) from None


def _tar_rows(path: Path, shown: str) -> Iterator[UpstreamRow]:
    found = False
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith((".json", ".jsonl")):
                    file = archive.extractfile(member) or io.BytesIO()
                    content = json_rows(file.read(), f"{path}:{member.name}")
                    yield from _numbered(content, f"{shown}:{member.name}")
                    found = True
            # tarfile takes a cut-off archive for a whole one, which goes on with a second block of zeros.
            if not archive.fileobj or len(archive.fileobj.read(1 << 20)) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it has no end")
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise UserError(
            f"{path}: the archive cannot be read ({_reason(error)}); a whole tar file would be right."
        ) from None
    if not found:
        raise UserError(f"{path}: the archive holds no .json or .jsonl file; at least one would be right.")


def _reason(error: Exception) -> str:
    """A library's message in one short line."""
    return " ".join(str(error).split())[:120]


def _folder_rows(path: Path, shown: str) -> Iterator[UpstreamRow]:
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in (".json", ".jsonl", ".parquet"))
    if not files:
        raise UserError(
            f"{path}: the folder holds no .json, .jsonl or .parquet file; at least one would be right."
        )
    for file in files:
        yield from read_rows(file, f"{shown}/{file.relative_to(path)}")

"""The normal form: what every problem set is turned into, and its parquet file."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bupo.data.keys import exact_key
from bupo.errors import UserError
from bupo.files import atomic_path, sha256_text


@dataclass(frozen=True)
class Problem:
    """One problem in normal form.

    Attributes:
        id: set name and hash of the problem; it depends on nothing else.
        gold: ``integer`` or ``read`` (the grader's parser reads the answer), ``unreadable``.
        upstream_file, upstream_row, upstream_hash: what the row was: file, number from 0, hash.
    """

    id: str
    problem: str
    answer: str
    subject: str
    level: str
    solution: str
    source: str
    gold: str
    upstream_file: str
    upstream_row: int
    upstream_hash: str


def problem_id(name: str, problem: str) -> str:
    """Stable id: the set's name and a hash of the text without spacing and LaTeX variants."""
    return f"{name}-{sha256_text(exact_key(problem))[:16]}"


def write_normal(problems: list[Problem], path: str | Path) -> None:
    """Write problems as parquet, one column per attribute."""
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [(f.name, pyarrow.int64() if f.type in (int, "int") else pyarrow.string()) for f in fields(Problem)]
    )
    columns = {f.name: [getattr(p, f.name) for p in problems] for f in fields(Problem)}
    table = pyarrow.table(columns, schema=schema)
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(table, temporary, compression="zstd")


def read_normal(path: str | Path) -> list[Problem]:
    """Read what `write_normal` wrote.

    Raises:
        UserError: the file is missing or not in the normal form.
    """
    import pyarrow
    import pyarrow.parquet

    names = [f.name for f in fields(Problem)]
    try:
        columns = pyarrow.parquet.read_table(path, columns=names).to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"{path}: not a problem set in normal form ({reason}); "
            "what `python -m bupo.data normalise` wrote would be right."
        ) from None
    missing = [name for name in names if name not in columns]
    if missing:
        raise UserError(
            f"{path}: not a problem set in normal form: no column {missing[0]}; "
            "what `python -m bupo.data normalise` wrote would be right."
        )
    return [
        Problem(**dict(zip(names, row, strict=True)))
        for row in zip(*(columns[n] for n in names), strict=True)
    ]


def as_dict(problem: Problem) -> dict[str, str | int]:
    """A problem as plain values."""
    return asdict(problem)

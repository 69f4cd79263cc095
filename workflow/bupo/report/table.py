"""A table with plain values."""

import csv
import io
from dataclasses import dataclass

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A table with plain values: shares are of 1, differences too, None is not known."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]

    def as_csv(self) -> str:
        """The table as CSV with a header."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([["" if value is None else value for value in row] for row in self.rows])
        return buffer.getvalue()

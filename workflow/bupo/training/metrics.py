"""``metrics.jsonl``: verl's metrics, one line a step, each step once, whatever kills the run."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bupo.files import write_text


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file up to the first that is damaged or cut off."""
    lines = []
    for text in _text(path).split("\n")[:-1]:
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            break
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            break
        lines.append(line)
    return lines


def keep_until(path: Path, step: int) -> list[dict[str, Any]]:
    """Drop the lines after ``step``, which will be trained again, and what is no whole line.

    Returns:
        The lines kept.
    """
    before = _text(path)
    kept = [line for line in read_metrics(path) if line["step"] <= step]
    text = "".join(_line(line) for line in kept)
    if text != before:
        write_text(path, text)
    return kept


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def plain(value: Any) -> float | int | None:
    """A metric as JSON holds it; None for what is not a finite number."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


class MetricsFile:
    """verl's logger with our file beside it: what verl logs arrives in both.

    Args:
        path: the file; lines are appended, flushed and synced at once.
        others: verl's own `Tracking`.
        after: called with step and metrics once the line is on the disk.
    """

    def __init__(
        self,
        path: Path,
        others: Any,
        after: Callable[[int, Mapping[str, Any]], None],
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.others, self.after = path, others, after

    def log(self, data: Mapping[str, Any], step: int, backend: Any = None) -> None:
        """Write one step's metrics."""
        values = {key: plain(value) for key, value in sorted(data.items())}
        line = {"step": step} | {key: value for key, value in values.items() if value is not None}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(line))
            file.flush()
            os.fsync(file.fileno())
        self.others.log(data=data, step=step, backend=backend)
        self.after(step, line)

    def finish(self, exit_code: int = 0) -> None:
        """Close verl's loggers."""
        self.others.finish(exit_code=exit_code)


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"

"""Rows of a set from where its spec says: files, the hub, a generator; and what their columns hold."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bupo.data.config import Columns, DataSpec, HubSource, LocalSource, Minus, Rows, WebSource
from bupo.data.upstream import UpstreamRow, read_rows
from bupo.errors import UserError
from bupo.files import sha256_file

GENERATED = Rows(columns=Columns(subject="subject", level="level", solution="solution"))


def rows_of(spec: DataSpec) -> Iterator[UpstreamRow]:
    """All upstream rows of the set, selected or not."""
    if spec.source == "generated":
        return _generated_rows(spec)
    return _section_rows(spec.set, spec)


def section_of(spec: DataSpec) -> Rows:
    """What the set's file says of the rows of the source that the spec chose."""
    return GENERATED if spec.source == "generated" else getattr(spec.set, spec.source)


def minus_rows(spec: DataSpec) -> Iterator[UpstreamRow]:
    """Selected rows of the set that ``minus`` takes out; none without one."""
    if spec.set.minus is not None:
        section = getattr(spec.set.minus, spec.source)
        yield from (row for row in _section_rows(spec.set.minus, spec) if is_selected(row, section.where))


def _section_rows(sections: Any | Minus, spec: DataSpec) -> Iterator[UpstreamRow]:
    section: LocalSource | HubSource | WebSource = getattr(sections, spec.source)
    if isinstance(section, HubSource):
        from bupo.data.hub import hub_rows

        yield from hub_rows(section, spec.set.name)
        return
    if isinstance(section, WebSource):
        from bupo.data.web import web_rows

        yield from web_rows(section, spec.set.name)
        return
    for path in section.path:
        yield from read_rows(Path(spec.directory or ".") / path, path, section.form)


def _generated_rows(spec: DataSpec) -> Iterator[UpstreamRow]:
    from bupo.data.arithmetic import problems

    source = spec.set.generated
    assert source is not None
    seed = spec.seed if source.seed is None else source.seed
    where = f"{source.generator}({source.split}, {source.n}, {source.difficulty}, seed {seed})"
    for number, made in enumerate(problems(source.split, source.n, source.difficulty, seed)):
        values = {
            "problem": made.problem,
            "answer": made.answer,
            "subject": made.operation,
            "level": made.level,
            "solution": made.solution,
        }
        yield UpstreamRow(where, number, values)


def is_selected(row: UpstreamRow, where: dict[str, str]) -> bool:
    """Whether every column that ``where`` names contains its pattern; ``upstream_file`` is a column, too."""
    return all(
        re.search(pattern, row.file if column == "upstream_file" else as_text(value(row, column)))
        for column, pattern in where.items()
    )


def value(row: UpstreamRow, column: str) -> Any:
    """What a row holds in a column; a dot goes into a nested one, chat messages give their last user text.

    Raises:
        UserError: the row has no such column.
    """
    found: Any = row.values
    for part in column.split("."):
        if not isinstance(found, dict) or part not in found:
            known = ", ".join(map(str, row.values))
            raise UserError(
                f"{row.file}, row {row.number}: the set's columns (or where) name {column!r}, which is not "
                f"there; one of {known} would be right."
            )
        found = found[part]
    if isinstance(found, list) and found and all(isinstance(m, dict) and "content" in m for m in found):
        return next((m["content"] for m in reversed(found) if m.get("role") == "user"), None)
    return found


def as_text(found: Any) -> str:
    """A column's value as text: "" for null and NaN, the first item of a list."""
    if isinstance(found, list):
        found = found[0] if found else None
    return "" if found is None or found != found else str(found)


def shown(spec: DataSpec) -> str:
    """Where the rows come from, for messages."""
    if spec.source == "hub" and spec.set.hub:
        return f"{spec.set.hub.dataset} at revision {spec.set.hub.revision}"
    if spec.source == "local" and spec.set.local:
        return ", ".join(str(Path(spec.directory or ".") / path) for path in spec.set.local.path)
    if spec.source == "web" and spec.set.web:
        return spec.set.web.url
    return "the generator"


def provenance(spec: DataSpec) -> dict[str, Any]:
    """Where the rows came from, for the report: files with their SHA-256, the hub's commit, the seed."""
    if spec.source == "hub" and spec.set.hub:
        from bupo.data.hub import resolved_commit

        hub = spec.set.hub
        return {
            "kind": "hub",
            **hub.model_dump(include={"dataset", "config", "split", "revision"}),
            "commit": resolved_commit(hub),
        }
    if spec.source == "local" and spec.set.local:
        root = Path(spec.directory or ".")
        files = [file for path in spec.set.local.path for file in _files(root / path)]
        return {"kind": "local", "files": {str(file.relative_to(root)): sha256_file(file) for file in files}}
    if spec.source == "web" and spec.set.web:
        return {"kind": "web", **spec.set.web.model_dump(include={"url", "sha256"})}
    assert spec.set.generated is not None
    generated = spec.set.generated.model_dump()
    seed = spec.seed if generated["seed"] is None else generated["seed"]
    return {"kind": "generated", **generated, "seed": seed}


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())

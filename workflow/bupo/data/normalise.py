"""A set's upstream rows -> the normal form, with an account of every row that did not get there."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from bupo.data.answers import Answers
from bupo.data.config import DataSet, DataSpec, Rows
from bupo.data.duplicates import Group, drop_duplicates
from bupo.data.golds import normalise_gold
from bupo.data.keys import exact_key
from bupo.data.normal import Problem, problem_id
from bupo.data.repair import clean_problem
from bupo.data.sources import as_text, is_selected, minus_rows, provenance, rows_of, section_of, shown, value
from bupo.data.upstream import UpstreamRow
from bupo.errors import UserError

Report = dict[str, Any]
Repairs = dict[str, Counter[str]]


def normalise(spec: DataSpec) -> tuple[list[Problem], Report]:
    """The set in normal form, and the report on it.

    The report accounts for every row: ``upstream = not_selected + minus + dropped + over_limit + kept``.

    Raises:
        UserError: the upstream data cannot be read, has another number of rows than the set's file says, or
            (a benchmark) loses other rows than are known.
    """
    data, section = spec.set, section_of(spec)
    repairs: Repairs = {"problem": Counter(), "answer": Counter(), "corrections": Counter()}
    repairs["corrections"].update({correction.find: 0 for correction in section.corrections})
    rows: Counter[str] = Counter(upstream=0, not_selected=0, minus=0, dropped=0, over_limit=0, kept=0)
    taken_out = _minus_keys(spec)
    found: list[Problem] = []
    dropped: list[Report] = []
    for row in rows_of(spec):
        rows["upstream"] += 1
        if not is_selected(row, section.where):
            rows["not_selected"] += 1
            continue
        problem, reason = _problem(row, section, data, repairs)
        if taken_out and exact_key(problem.problem) in taken_out:
            rows["minus"] += 1
        elif reason:
            dropped.append(_dropped(problem, reason))
        else:
            found.append(problem)
    _check_counts(data, rows, shown(spec))
    with Answers() as answers:
        kept, groups = drop_duplicates(found, answers.same, by_letters=spec.source != "generated")
        dropped += [_dropped(problem, reason) for group in groups for problem, reason in group.dropped()]
        _check_drops(data, dropped, shown(spec))
        if spec.limit is not None:
            rows["over_limit"] = max(0, len(kept) - spec.limit)
            kept = kept[: spec.limit]
        kept = [replace(problem, gold=answers.status(problem.answer)) for problem in kept]
    rows["dropped"], rows["kept"] = len(dropped), len(kept)
    assert len({p.id for p in kept}) == len(kept), "two problems share an id"
    return kept, _report(spec, rows, repairs, dropped, groups, kept)


def _minus_keys(spec: DataSpec) -> set[str]:
    keys = set()
    for row in minus_rows(spec):
        columns = getattr(spec.set.minus, spec.source).columns
        keys.add(exact_key(clean_problem(as_text(value(row, columns.problem)))[0]))
    return keys


def _problem(row: UpstreamRow, section: Rows, data: DataSet, repairs: Repairs) -> tuple[Problem, str]:
    """A row in normal form, and the reason why it cannot be used ("" where it can)."""
    columns = section.columns
    text, counts = clean_problem(as_text(value(row, columns.problem)), data.instructions)
    repairs["problem"].update(counts.keys())  # rows repaired, not places
    for correction in section.corrections:
        if correction.find in text:
            text = text.replace(correction.find, correction.replace)
            repairs["corrections"][correction.find] += 1
    gold = normalise_gold(value(row, columns.answer), columns.answer_in)
    repairs["answer"].update(gold.repairs.keys())

    def optional(column: str | None) -> str:
        return "" if column is None else as_text(value(row, column)).strip()

    problem = Problem(
        id=problem_id(data.name, text),
        problem=text,
        answer=gold.answer,
        subject=optional(columns.subject),
        level=optional(columns.level).removeprefix("Level ").replace("?", "").strip(),
        solution=optional(columns.solution),
        source=data.name,
        gold="",
        upstream_file=row.file,
        upstream_row=row.number,
        upstream_hash=row.digest(),
    )
    return problem, gold.reason if text else "no problem text"


def _dropped(problem: Problem, reason: str) -> Report:
    return {
        "file": problem.upstream_file,
        "row": problem.upstream_row,
        "reason": reason,
        "answer": problem.answer,
        "problem": problem.problem[:200],
    }


def _check_counts(data: DataSet, rows: Counter[str], where: str) -> None:
    selected = rows["upstream"] - rows["not_selected"]
    if selected == 0:
        raise UserError(f"{where}: where selects no row of the set {data.name}; at least one would be right.")
    if data.rows is not None and selected != data.rows:
        raise UserError(
            f"{where}: this source of the set {data.name} has {selected} row{'s' * (selected != 1)}; "
            f"rows: {data.rows}, as the set's file says, would be right."
        )
    if data.minus and rows["minus"] != data.minus.rows:
        raise UserError(
            f"{where}: minus takes {rows['minus']} rows out of the set {data.name}; "
            f"minus.rows: {data.minus.rows}, as the set's file says, would be right."
        )


def _check_drops(data: DataSet, dropped: list[Report], where: str) -> None:
    if data.role != "benchmark" or len(dropped) == data.known_drops:
        return
    listed = "; ".join(f"{d['file']} row {d['row']}: {d['reason']}" for d in dropped[:3]) or "none"
    raise UserError(
        f"{where}: the benchmark {data.name} loses {len(dropped)} rows ({listed}); "
        f"known_drops: {data.known_drops}, as the set's file says, would be right."
    )


def _report(
    spec: DataSpec,
    rows: Counter[str],
    repairs: Repairs,
    dropped: list[Report],
    groups: list[Group],
    kept: list[Problem],
) -> Report:
    reasons = Counter(re.sub(r" of \S+", "", d["reason"]) for d in dropped)
    return {
        "set": spec.set.name,
        "role": spec.set.role,
        "source": provenance(spec),
        "rows": dict(rows),
        "repairs": {where: dict(sorted(counts.items())) for where, counts in repairs.items()},
        "reasons": dict(reasons.most_common()),
        "gold": dict(Counter(p.gold for p in kept).most_common()),
        "dropped": dropped,
        "duplicates": [group.describe() for group in groups],
        "unreadable": [{"id": p.id, "answer": p.answer} for p in kept if p.gold == "unreadable"],
    }

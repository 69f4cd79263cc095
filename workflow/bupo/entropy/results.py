"""The results of an analysis, from its shards."""

import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bupo.entropy.boundary import boundary_record
from bupo.entropy.quantities import Row
from bupo.entropy.settings import Analysis
from bupo.entropy.shard import RESPONSES, SUMS, Shard
from bupo.entropy.statistics import statistics_table
from bupo.entropy.tables import SliceSums, about, read_responses, read_sums, write_responses
from bupo.errors import UserError
from bupo.files import atomic_path, write_json

STATISTICS, BOUNDARY = "statistics.parquet", "boundary.json"


def merge(out: Path, shards: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Write responses.parquet, statistics.parquet and boundary.json to ``out``, from its shards.

    Problems come in the order in which they were drawn, whatever the number of shards, so that the files are
    bitwise the same.

    Returns:
        The table of statistics, and what boundary.json holds.

    Raises:
        UserError: a shard is missing, or they are of different analyses.
    """
    folders = [Shard(number, shards).folder(out) for number in range(1, shards + 1)]
    told = _told(folders)
    settings = Analysis.model_validate(told["settings"])
    streams = (read_responses(folder / RESPONSES) for folder in folders)
    ordered = heapq.merge(*streams, key=lambda each: (each.set, each.problem_id))
    write_responses(out / RESPONSES, ordered)
    rows = [Row(**row) for row in told["rows"]]
    sums: Iterable[SliceSums] = heapq.merge(
        *(read_sums(folder / SUMS) for folder in folders), key=lambda each: (each.set, each.problem_id)
    )
    table = statistics_table(rows, told["slices"], sums, settings.level)
    with atomic_path(out / STATISTICS) as path:
        table.to_parquet(path, index=False)
    record = boundary_record(table, told["model"], told["files"], settings)
    write_json(out / BOUNDARY, record)
    return table, record


def _told(folders: list[Path]) -> dict[str, Any]:
    """What all shards say of themselves."""
    found = {folder: about(folder / SUMS) for folder in folders}
    for folder, said in found.items():
        if not said:
            number, _, count = folder.name.removeprefix("shard-").partition("-of-")
            raise UserError(
                f"{folder / SUMS} is missing; python -m bupo.entropy with --shard {number}/{count} makes it."
            )
    first, *others = found.items()
    for folder, said in others:
        if (said["identity"], said["settings"]) != (first[1]["identity"], first[1]["settings"]):
            raise UserError(
                f"{folder} and {first[0]} are of different analyses; model, problems and settings should be "
                "the same."
            )
    # A shard without problems knows no rows.
    return max(found.values(), key=lambda said: len(said["rows"]))


def present(out: Path, table: pd.DataFrame, record: dict[str, Any]) -> None:
    """Draw the figures, and say where everything is and what the boundary is."""
    from bupo.figures.entropy import write_figures

    figures = write_figures(table, record, out / "figures")
    layer, total = record["recommended_layer"], record["layers"]
    found = f"boundary layer {layer} of {total}" if layer else f"no clear boundary in its {total} layers"
    print(f"{out}/: {RESPONSES}, {STATISTICS}, {BOUNDARY}, figures/ ({len(figures)} files)")
    print(f"{record['model']}: {found}. {record['reason']}")

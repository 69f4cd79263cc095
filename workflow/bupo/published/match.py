"""Which published numbers a cell of ours may be set beside, and what differs.

A row is that of a cell if model, method, layer and iterative_steps (s_inter) are the same; the lens is part
of the method (``bupo_final_norm``). Whatever else differs from the paper's run is told in ``differences``;
only without any is it the same experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bupo.published.tables import MEAN, PublishedTable, Row, published_tables, reference

BASE = "base"


@dataclass(frozen=True)
class Score:
    """A published score as a share (0 to 1), as ours are.

    Attributes:
        percent: as printed, two decimals.
        share: the same by 100.
        spread: standard deviation over seeds, as a share; None of a single run.
        samples: for each problem; None of the mean.
    """

    percent: str
    share: float
    spread: float | None
    samples: int | None


@dataclass(frozen=True)
class Published:
    """One published row that is of the same model, method, layer and s_inter as a cell.

    Attributes:
        source: paper, version, table and what it compares.
        table: name of the table's file.
        seeds: training runs behind a score.
        scores: by benchmark, and ``mean``: of what the paper evaluates, as printed.
        notes: footnotes.
        differences: how the cell's run is another than the paper's, a sentence each.
    """

    source: str
    table: str
    seeds: int
    scores: Mapping[str, Score]
    notes: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether all that is recorded of the paper's run is the same in ours."""
        return not self.differences


def published_for(experiment: Mapping[str, Any], cell: Mapping[str, Any]) -> list[Published]:
    """The published rows of a cell, the main results first; each score once.

    Args:
        experiment: the resolved experiment, as results/<name>/experiment.yaml has it.
        cell: ``model``, ``method`` (``base`` for the model before training), ``layer`` (a number, also where
            the experiment says auto), ``iterative_steps``, ``learning_rate`` (None: the method's own),
            ``train_set``.
    """
    key = tuple(cell.get(axis) for axis in ("model", "method", "layer", "iterative_steps"))
    found: list[tuple[PublishedTable, Row]] = []
    results = []
    evaluated = {*experiment["data"]["benchmarks"], MEAN}
    for name, table in published_tables().items():
        for row in table.rows:
            if (row.model, row.method, row.layer, row.iterative_steps) != key or _told(table, row, found):
                continue
            if not row.scores.keys() & evaluated:
                continue
            found.append((table, row))
            results.append(_published(name, table, row, _differences(experiment, cell, row)))
    return results


def _told(table: PublishedTable, row: Row, found: list[tuple[PublishedTable, Row]]) -> bool:
    """Whether another table has these scores already."""
    return any(
        table.seeds == other.seeds and row.scores.items() <= earlier.scores.items()
        for other, earlier in found
    )


def _published(name: str, table: PublishedTable, row: Row, differences: tuple[str, ...]) -> Published:
    known = reference()
    return Published(
        source=f"{known.paper} {known.version}, {table.place}: {table.title}",
        table=name,
        seeds=table.seeds,
        scores={
            benchmark: Score(
                percent=f"{percent:.2f}",
                share=percent / 100,
                spread=row.deviations[benchmark] / 100 if benchmark in row.deviations else None,
                samples=known.evaluation.samples.get(benchmark),
            )
            for benchmark, percent in row.scores.items()
        },
        notes=(*row.notes, *table.notes, *known.notes),
        differences=differences,
    )


def _differences(experiment: Mapping[str, Any], cell: Mapping[str, Any], row: Row) -> tuple[str, ...]:
    data = experiment["data"]
    parts = reference().evaluation.samples.keys() if MEAN in row.scores else set()
    benchmarks = [name for name in data["benchmarks"] if name in row.scores.keys() | parts]
    found = _evaluation_differences(experiment["evaluation"], benchmarks)
    limits = data.get("limits", {})
    found += [
        f"evaluated on the first {limits[name]} problems of {name}" for name in benchmarks if name in limits
    ]
    if cell["method"] != BASE:
        found += _data_differences(data, cell, limits)
        found += _training_differences(experiment["training"], cell)
    return tuple(found)


def _evaluation_differences(evaluation: Mapping[str, Any], benchmarks: list[str]) -> list[str]:
    known = reference().evaluation
    found = [
        f"evaluated with {key} {evaluation[key]}, the paper's {value}"
        for key, value in (("temperature", known.temperature), ("top_p", known.top_p))
        if evaluation[key] != value
    ]
    if evaluation["max_new_tokens"] != known.max_new_tokens:
        found.append(
            f"evaluated with responses of at most {evaluation['max_new_tokens']} tokens, "
            f"where {known.max_new_tokens} are taken for the paper's"
        )
    # more samples than the paper's estimate the same score with a smaller error, fewer with a larger one
    for samples in sorted({known.samples[name] for name in benchmarks if name in known.samples}):
        if evaluation["samples"] < samples:
            of = ", ".join(name for name in benchmarks if known.samples.get(name) == samples)
            found.append(f"evaluated with samples {evaluation['samples']}, the paper's {samples} ({of})")
    return found


def _data_differences(
    data: Mapping[str, Any], cell: Mapping[str, Any], limits: Mapping[str, int]
) -> list[str]:
    known = reference().training
    found = []
    if cell["train_set"] != known.train_set:
        found.append(f"trained on {cell['train_set']}, the paper's on {known.train_set}")
    if cell["train_set"] in limits:
        found.append(f"trained on the first {limits[cell['train_set']]} problems")
    if data.get("max_prompt_tokens", known.max_prompt_tokens) != known.max_prompt_tokens:
        found.append(
            f"trained on problems of at most {data['max_prompt_tokens']} tokens, "
            f"the authors' scripts on those of {known.max_prompt_tokens}"
        )
    if data.get("keep_unreadable"):
        found.append("trained also on problems whose answer our grader cannot read")
    return found


def _training_differences(training: Mapping[str, Any], cell: Mapping[str, Any]) -> list[str]:
    known = reference().training
    found = []
    if training["steps"] != known.steps:
        found.append(f"trained for {training['steps']} steps, the paper's for {known.steps}")
    if cell.get("learning_rate") not in (None, known.learning_rate):
        found.append(
            f"trained with learning rate {cell['learning_rate']:g}, the paper's {known.learning_rate:g}"
        )
    if training["engine"] != known.engine:
        # an engine may lay its own sizes over the paper's, as cpu does
        found.append(
            f"trained with the sizes and the precision of engine/{training['engine']}.yaml, "
            f"not of engine/{known.engine}.yaml"
        )
    if training.get("settings", known.settings) != known.settings:
        found.append(f"trained with the numbers of settings/{training['settings']}.yaml, not the paper's")
    if training.get("overrides"):
        found.append(f"trained with {', '.join(training['overrides'])}")
    return found

"""Tables of two experiments compared: the page shows them as HTML, others read them as CSV."""

from collections.abc import Sequence
from dataclasses import astuple, replace

from bupo.report.cells import MEAN, Cell
from bupo.report.costs import StageCost
from bupo.report.difference import Difference, PairedScore
from bupo.report.difference_entropy import analysed_twice, boundaries_table
from bupo.report.grid import GridMap, grid_maps, grid_table
from bupo.report.table import Table, Value
from bupo.report.tables_scores import pass_at_k_table

ENDS = ("n_responses", "truncated", "no_box", "mean_tokens", "grader_disagreements")


def tables(found: Difference, named: Sequence[Cell]) -> list[Table]:
    """Every table of the page; those of what the experiments do not have are left out.

    Args:
        found: the two experiments compared.
        named: the cells of both under names that say whose they are.
    """
    grids, twice = grids_of(found), analysed_twice(found.a, found.b)
    return [
        differences_table(found.scores),
        Table("settings", ("key", "a", "b"), [tuple(row) for row in found.settings]),
        *([grid_table(grids)] if grids else []),
        pass_at_k_table(named, list(found.benchmarks)),
        *([boundaries_table(twice)] if twice else []),
        Table(
            "cost_by_stage",
            ("stage", "a_gpu_hours", "b_gpu_hours", "a_core_hours", "b_core_hours"),
            [(stage, *_hours(one, other)) for stage, one, other in costs_of(found)],
        ),
    ]


def differences_table(scores: Sequence[PairedScore]) -> Table:
    """Both scores of every pair, their difference with its verdict, and how the responses ended."""
    columns = (
        *("model", "cell_a", "cell_b", "benchmark", "a", "a_low", "a_high", "b", "b_low", "b_high"),
        *(
            "difference",
            "low",
            "high",
            "seeds_low",
            "seeds_high",
            "n_problems",
            "p_value",
            "p_holm",
            "verdict",
        ),
        *(f"{side}_{name}" for side in "ab" for name in ENDS),
    )
    return Table("differences", columns, [_row(score) for score in scores])


def grids_of(found: Difference) -> list[GridMap]:
    """Maps of the differences over layer and iterative_steps, where the pairs differ in both."""
    told = [score.comparison for score in found.headline]
    cells = [score.pair.b for score in found.headline if score.pair.a.label == score.pair.b.label]
    benchmark = told[0].benchmark if told else MEAN
    maps = grid_maps(cells, [], told, benchmark)
    return [replace(one, against=found.a.experiment["name"]) for one in maps]


def costs_of(found: Difference) -> list[tuple[str, StageCost | None, StageCost | None]]:
    """Each stage with what it cost in A and in B."""
    ours, theirs = ({cost.stage: cost for cost in r.costs} for r in (found.a, found.b))
    return [(stage, ours.get(stage), theirs.get(stage)) for stage in dict.fromkeys([*ours, *theirs])]


def _row(score: PairedScore) -> tuple[Value, ...]:
    c, a, b = score.comparison, score.a, score.b
    seeds = (c.over_seeds.low, c.over_seeds.high) if c.over_seeds else (None, None)
    return (
        *(c.model, score.pair.a.name, score.pair.b.name, c.benchmark, a.value, a.low, a.high),
        *(b.value, b.low, b.high, c.difference.value, c.difference.low, c.difference.high, *seeds),
        *(c.n_problems, c.p_value, c.corrected, c.words, *astuple(score.a_ends), *astuple(score.b_ends)),
    )


def _hours(one: StageCost | None, other: StageCost | None) -> list[float | None]:
    """GPU-hours of both, then core-hours of both."""
    amounts = [
        getattr(each.cost, key) if each and each.cost else None
        for key in ("gpu_s", "core_s")
        for each in (one, other)
    ]
    return [None if seconds is None else seconds / 3600 for seconds in amounts]

"""Tables of the evaluation: scores, comparisons, responses, graders at odds, where the spread is from."""

from collections.abc import Iterator, Sequence

from bupo.report.cells import Cell
from bupo.report.compare import Comparison
from bupo.report.records import Estimate, Evaluated, Results, Run
from bupo.report.review import REVIEWED, reviewed
from bupo.report.scores import Score
from bupo.report.spread import spreads
from bupo.report.table import Table, Value


def scores_table(scores: Sequence[Score]) -> Table:
    """avg@n of every cell on every benchmark with its intervals, and what the responses were like."""
    columns = (
        *("model", "cell", "benchmark", "avg_at_n", "low", "high", "decoding_low", "decoding_high"),
        *(
            "seeds_low",
            "seeds_high",
            "n_problems",
            "n_samples",
            "n_seeds",
            "truncated",
            "no_box",
            "mean_tokens",
        ),
        "resolved_above_all_others",
    )
    return Table(
        "scores",
        columns,
        [
            (
                *(s.model, s.cell, s.benchmark, s.avg.value, *_bounds(s.avg), *_bounds(s.decoding)),
                *(*_bounds(s.over_seeds), s.n_problems, s.n_samples, len(s.by_seed)),
                *(s.truncated, s.no_box, s.mean_tokens, s.leads),
            )
            for s in scores
        ],
    )


def comparisons_table(comparisons: Sequence[Comparison]) -> Table:
    """Paired differences with their verdicts."""
    columns = (
        *("model", "cell", "against", "benchmark", "difference", "low", "high", "seeds_low", "seeds_high"),
        *("n_problems", "p_value", "p_holm", "resolvable", "verdict"),
    )
    return Table(
        "comparisons",
        columns,
        [
            (
                *(c.model, c.cell, c.against, c.benchmark, c.difference.value, *_bounds(c.difference)),
                *(*_bounds(c.over_seeds), c.n_problems, c.p_value, c.corrected, c.resolvable, c.words),
            )
            for c in comparisons
        ],
    )


def _bounds(estimate: Estimate | None) -> tuple[float | None, float | None]:
    return (None, None) if estimate is None else (estimate.low, estimate.high)


def _evaluated(
    cells: Sequence[Cell], benchmarks: Sequence[str]
) -> Iterator[tuple[Cell, Run, str, Evaluated]]:
    for cell in cells:
        for run in cell.runs:
            for name in benchmarks:
                if name in run.evaluated:
                    yield cell, run, name, run.evaluated[name]


def responses_table(cells: Sequence[Cell], benchmarks: Sequence[str]) -> Table:
    """What the responses were like: cut off, without a box, how long, graders at odds."""
    columns = (
        *("model", "cell", "seed", "benchmark", "truncated", "no_box", "grader_timeout", "mean_tokens"),
        *("grader", "grader_disagreements", "n_responses"),
    )
    found: list[tuple[Value, ...]] = [
        (
            *(cell.model, cell.name, run.seed, name, e.truncated, e.no_box, e.grader_timeout, e.mean_tokens),
            *(e.grader, e.disagreements, e.n_problems * e.n_samples),
        )
        for cell, run, name, e in _evaluated(cells, benchmarks)
    ]
    return Table("responses", columns, found)


def disagreements_table(cells: Sequence[Cell], benchmarks: Sequence[str]) -> Table:
    """Answers on which the two graders differ, with what each made of gold and answer."""
    return Table("grader_disagreements", REVIEWED, [pair.row() for pair in reviewed(cells, benchmarks)])


def variance_table(results: Results, cells: Sequence[Cell]) -> Table:
    """Parts of the variance of every cell's avg@n."""
    columns = (
        *("model", "cell", "benchmark", "variance_seeds", "variance_problems"),
        *("variance_seeds_and_problems", "variance_decoding"),
    )
    found: list[tuple[Value, ...]] = [
        (
            *(cell.model, cell.name, benchmark, split.seeds, split.problems),
            *(split.seeds_and_problems, split.decoding),
        )
        for cell, benchmark, split in spreads(results, cells)
    ]
    return Table("variance", columns, found)


def pass_at_k_table(cells: Sequence[Cell], benchmarks: Sequence[str]) -> Table:
    """Unbiased pass@k of every run."""
    columns = (
        *(
            "model",
            "cell",
            "seed",
            "benchmark",
            "k",
            "pass_at_k",
            "low",
            "high",
            "decoding_low",
            "decoding_high",
        ),
        *("n_problems", "n_samples"),
    )
    found: list[tuple[Value, ...]] = [
        (
            *(cell.model, cell.name, run.seed, name, k, p.value, p.low, p.high),
            *(*e.pass_at_k_decoding.get(k, (None, None)), e.n_problems, e.n_samples),
        )
        for cell, run, name, e in _evaluated(cells, benchmarks)
        for k, p in sorted(e.pass_at_k.items())
    ]
    return Table("pass_at_k", columns, found)

"""Figures of the evaluation: differences with intervals, pass@k curves."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from bupo.figures.hover import hover
from bupo.figures.panel import Panel, finish
from bupo.figures.style import INK, MUTED, PAPER, SMALL, Look, legend_below, new_figure
from bupo.report.cells import GRPO, MEAN, Cell
from bupo.report.compare import ABOVE, BELOW, Comparison
from bupo.report.records import BASE, Estimate
from bupo.report.words import in_words

MANY = 16
"""Rows beyond which the mean over benchmarks stands alone, and the benchmarks below it."""


def differences(
    comparisons: Sequence[Comparison],
    cells: Sequence[Cell],
    styles: Mapping[str, Look],
    model: str,
    against: str,
    level: float,
    *,
    first: bool,
) -> Panel | None:
    """Differences from the base, GRPO or another experiment in percentage points, with their intervals.

    Args:
        comparisons: of all models.
        cells: of all models.
        styles: of the cells, by name.
        model: which is shown.
        against: ``base``, the ``grpo`` cells, or the name of another experiment.
        level: coverage of the intervals.
        first: what leads the page: all benchmarks, or where these are over `MANY` rows their mean alone;
            the others are then in the panel that is not first.
    """
    mine = [c for c in comparisons if c.model == model]
    rows = [c for c in mine if (c.against != BASE if against == GRPO else c.against == against)]
    labels = {cell.name: cell.label for cell in cells if cell.model == model}
    benchmarks = list(dict.fromkeys(row.benchmark for row in rows))
    if MEAN in benchmarks:
        benchmarks = [MEAN, *(name for name in benchmarks if name != MEAN)]
    few = len(rows) <= MANY
    benchmarks = benchmarks if few and first else [] if few else benchmarks[:1] if first else benchmarks[1:]
    rows = [row for row in rows if row.benchmark in benchmarks]
    if not rows:
        return None
    figure, axes = new_figure(height=0.75 + 0.23 * (len(rows) + 1.2 * len(benchmarks)))
    place = 0.0
    ticks: list[float] = []
    texts: list[str] = []
    headings: list[int] = []
    for benchmark in benchmarks:
        headings.append(len(ticks))
        ticks.append(place)
        texts.append("mean of benchmarks" if benchmark == MEAN else benchmark)
        for name in labels:
            row = next((r for r in rows if r.cell == name and r.benchmark == benchmark), None)
            if row is None:
                continue
            place += 1
            ticks.append(place)
            texts.append(labels[name])
            _interval(axes, place, row, styles[name], f"{labels[name]}, {texts[headings[-1]]}")
        place += 1.4
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_ylim(place - 0.6, -0.7)
    axes.set_yticks(ticks, texts, fontsize=SMALL + 0.5, color=INK)
    for number in headings:
        axes.get_yticklabels()[number].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"percentage points, {100 * level:g} % paired intervals")
    axes.set_title(f"avg@n against {'GRPO' if against == GRPO else against}: {model}")
    problems = sorted({row.n_problems for row in rows})
    n = f"{problems[0]:,}" if len(problems) == 1 else f"{problems[0]:,} to {problems[-1]:,}"
    return finish(
        figure,
        f"difference-{against}-{model}" + ("" if first else "-benchmarks"),
        f"Differences from {against} on {model}, by benchmark and cell, with intervals.",
        f"Paired over {n} problems. Hollow: not resolved.",
    )


def _interval(axes: Axes, place: float, row: Comparison, style: Look, name: str) -> None:
    value, low, high = (100 * v for v in _triple(row.difference))
    resolved = row.verdict in (ABOVE, BELOW)
    (bar,) = axes.plot([low, high], [place, place], color=style.color, linewidth=2, solid_capstyle="round")
    (point,) = axes.plot(
        value,
        place,
        style.marker,
        color=style.color,
        markerfacecolor=style.color if resolved else PAPER,
        markeredgewidth=1.4,
        markersize=6,
        linestyle="none",
    )
    for part in (bar, point):
        hover(part, f"{name}: {in_words(row)}")


def pass_at_k(cells: Sequence[Cell], styles: Mapping[str, Look], model: str, benchmark: str) -> Panel | None:
    """Unbiased pass@k over k (log axis) of every cell on one benchmark, with bands over problems."""
    mine = [cell for cell in cells if cell.model == model]
    found = [(cell, [run for run in cell.runs if benchmark in run.evaluated]) for cell in mine]
    shown = [(cell, runs) for cell, runs in found if runs]
    if not shown:
        return None
    figure, axes = new_figure()
    every: set[int] = set()
    for cell, runs in shown:
        style = styles[cell.name]
        for run in runs:
            curve = sorted(run.evaluated[benchmark].pass_at_k.items())
            ks = [k for k, _ in curve]
            every.update(ks)
            (line,) = axes.plot(
                ks,
                [e.value for _, e in curve],
                color=style.color,
                marker=style.marker,
                linestyle=style.dash,
                label=cell.label,
            )
            name = cell.label if len(cell.runs) == 1 else f"{cell.label}, seed {run.seed}"
            hover(line, [f"{name}, pass@{k}: {_percent(e)}" for k, e in curve])
            bounds = [(k, e.low, e.high) for k, e in curve if e.low is not None and e.high is not None]
            axes.fill_between(
                [k for k, _, _ in bounds],
                [low for _, low, _ in bounds],
                [high for _, _, high in bounds],
                color=style.color,
                alpha=0.10,
                linewidth=0,
            )
    first = shown[0][1][0].evaluated[benchmark]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted(every)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted(every), [str(k) for k in sorted(every)])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("k (samples, log scale)")
    axes.set_ylabel("pass@k")
    axes.set_title(f"{benchmark}: {model}")
    axes.set_title(
        f"{first.n_problems} problems × {first.n_samples}",
        loc="right",
        fontsize=8,
        fontweight="normal",
        color=MUTED,
    )
    legend_below(figure, axes)
    alt = f"pass@k over k of every cell of {model} on {benchmark}, with intervals over problems."
    return finish(figure, f"pass-at-k-{model}-{benchmark}", alt)


def _percent(estimate: Estimate) -> str:
    value, low, high = (100 * v for v in _triple(estimate))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def _triple(estimate: Estimate) -> tuple[float, float, float]:
    value, low, high = estimate.value, estimate.low, estimate.high
    return value, value if low is None else low, value if high is None else high

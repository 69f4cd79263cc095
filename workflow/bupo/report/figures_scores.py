"""Figures of the evaluation: differences with intervals, pass@k curves."""

from collections.abc import Mapping, Sequence

from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from bupo.figures.hover import hover
from bupo.figures.panel import Panel, finish
from bupo.figures.style import INK, MUTED, Look, legend_below, new_figure
from bupo.report.cells import MEAN, Cell
from bupo.report.compare import Comparison
from bupo.report.records import BASE, Estimate
from bupo.report.words import in_words


def differences(
    comparisons: Sequence[Comparison],
    cells: Sequence[Cell],
    styles: Mapping[str, Look],
    model: str,
    to_base: bool,
    level: float,
) -> Panel | None:
    """Differences from the base, or from GRPO, in percentage points with their intervals; one row each."""
    rows = [c for c in comparisons if c.model == model and (c.against == BASE) is to_base]
    if not rows:
        return None
    labels = {cell.name: cell.label for cell in cells if cell.model == model}
    benchmarks = list(dict.fromkeys(row.benchmark for row in rows))
    if MEAN in benchmarks:
        benchmarks = [MEAN, *(name for name in benchmarks if name != MEAN)]
    names = [name for name in labels if any(row.cell == name for row in rows)]
    other = "base" if to_base else "GRPO"
    figure, axes = new_figure(height=1.3 + 0.24 * (len(rows) + len(benchmarks)))
    place, ticks, texts = 0.0, [], []
    for benchmark in benchmarks:
        ticks.append(place)
        texts.append("mean of benchmarks" if benchmark == MEAN else benchmark)
        for name in names:
            row = next((r for r in rows if r.cell == name and r.benchmark == benchmark), None)
            if row is None:
                continue
            place += 1
            value, low, high = (100 * v for v in _triple(row.difference))
            style = styles[name]
            (bar,) = axes.plot(
                [low, high], [place, place], color=style.color, linewidth=2.2, solid_capstyle="round"
            )
            (point,) = axes.plot(
                value,
                place,
                style.marker,
                color=style.color,
                markersize=6,
                linestyle="none",
                label=labels[name] if benchmark == benchmarks[0] else None,
            )
            for part in (bar, point):
                hover(part, f"{labels[name]}, {texts[-1]}: {in_words(row)}")
        place += 1.4
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_ylim(place - 0.6, -0.7)
    axes.set_yticks(ticks, texts)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"percentage points, {100 * level:g} % paired intervals")
    axes.set_title(f"avg@n against {'base' if to_base else 'GRPO'}: {model}")
    legend_below(figure, axes, columns=1 if max(map(len, labels.values())) > 24 else 2)
    name = f"difference-{'base' if to_base else 'grpo'}-{model}"
    return finish(
        figure, name, f"Differences from {other} on {model}, by benchmark and cell, with intervals."
    )


def pass_at_k(cells: Sequence[Cell], styles: Mapping[str, Look], model: str, benchmark: str) -> Panel | None:
    """Unbiased pass@k over k (log axis) of every cell on one benchmark, with bands over problems."""
    shown = [cell for cell in cells if cell.model == model and benchmark in cell.first.evaluated]
    if not shown:
        return None
    figure, axes = new_figure()
    every: set[int] = set()
    for cell in shown:
        style = styles[cell.name]
        for number, run in enumerate(cell.runs):
            if benchmark not in run.evaluated:
                continue
            curve = sorted(run.evaluated[benchmark].pass_at_k.items())
            ks = [k for k, _ in curve]
            every.update(ks)
            (line,) = axes.plot(
                ks,
                [e.value for _, e in curve],
                color=style.color,
                marker=style.marker,
                linestyle=style.dash,
                label=cell.label if number == 0 else None,
            )
            hover(line, [f"{cell.label}, pass@{k}: {_percent(e)}" for k, e in curve])
            bounds = [(k, e.low, e.high) for k, e in curve if e.low is not None and e.high is not None]
            axes.fill_between(
                [k for k, _, _ in bounds],
                [low for _, low, _ in bounds],
                [high for _, _, high in bounds],
                color=style.color,
                alpha=0.10,
                linewidth=0,
            )
    first = shown[0].first.evaluated[benchmark]
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

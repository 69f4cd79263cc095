"""Figures of the training: what verl logged at each step, with the switch from internal to full policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bupo.figures.panel import Panel, finish
from bupo.figures.style import INK, MUTED, WIDE, Look, legend_below, new_figure, whole_numbers
from bupo.report.compare import Cell
from bupo.report.records import BASE, Run

CROWDED, TALL = 6, 4.4
"""With more cells than this a figure takes the page's width, and this height in inches."""


@dataclass(frozen=True)
class Curve:
    """A curve of the report.

    Attributes:
        keys: names of the metric in metrics.jsonl; the first one that a run has is shown.
    """

    name: str
    title: str
    unit: str
    keys: tuple[str, ...]


CURVES = (
    Curve("reward", "Reward", "mean reward of the rollouts", ("critic/score/mean", "critic/rewards/mean")),
    Curve("length", "Response length", "tokens, mean of the rollouts", ("response_length/mean",)),
    Curve("entropy", "Entropy of the full policy", "nats per token", ("bupo/entropy_full", "actor/entropy")),
    Curve(
        "entropy-internal",
        "Entropy of the internal policy, phase 1",
        "nats per token",
        ("bupo/entropy_internal",),
    ),
    Curve("gradient", "Gradient norm", "before clipping", ("actor/grad_norm",)),
    Curve("no-box", "Rollouts without a box", "share of the rollouts", ("reward/no_box",)),
)


def series(run: Run, curve: Curve) -> list[tuple[int, float]]:
    """The curve of a run, (step, value); empty where it was not recorded."""
    return next((run.metrics[key] for key in curve.keys if key in run.metrics), [])


def not_recorded(cells: Sequence[Cell], curve: Curve) -> list[str]:
    """Trained runs without this curve; an internal policy's is asked only of those that have one."""
    return [
        run.name
        for cell in cells
        if cell.name != BASE and (curve.name != "entropy-internal" or cell.first.bottom_up)
        for run in cell.runs
        if not series(run, curve)
    ]


def training_curve(
    cells: Sequence[Cell], styles: Mapping[str, Look], model: str, curve: Curve
) -> Panel | None:
    """One metric over the trainer steps, a line for each run."""
    crowded = sum(cell.model == model and cell.name != BASE for cell in cells) > CROWDED
    figure, axes = new_figure(TALL, WIDE) if crowded else new_figure()
    shown = False
    longest = 1
    for cell in cells:
        if cell.model != model or cell.name == BASE:
            continue
        style = styles[cell.name]
        for number, run in enumerate(cell.runs):
            points = series(run, curve)
            if not points:
                continue
            shown = True
            longest = max(longest, points[-1][0])
            few = len(points) <= 40
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                color=style.color,
                linestyle=style.dash,
                marker=style.marker if few else None,
                markersize=3.5,
                label=cell.label if number == 0 else None,
            )
    if not shown:
        return None
    # On the curve of the internal policy the switch is where its line ends.
    ends = sorted({end for cell in cells if cell.model == model for run in cell.runs for end in run.switches})
    marked = [] if curve.name == "entropy-internal" else ends
    for end in marked:
        axes.axvline(end + 0.5, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    if marked:
        axes.annotate(
            f"policy switch after step {' and '.join(map(str, marked))}",
            (marked[-1] + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=MUTED,
        )
    if ends:
        axes.margins(y=0.16)
    axes.set_xlim(0.5, longest + 0.5)
    whole_numbers(axes)
    axes.set_xlabel("trainer step")
    axes.set_ylabel(curve.unit)
    axes.set_title(f"{curve.title}: {model}")
    legend_below(figure, axes, columns=3 if crowded else 2)
    alt = f"{curve.title} of every training run of {model} over its steps."
    return finish(figure, f"training-{curve.name}-{model}", alt)

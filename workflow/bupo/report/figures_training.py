"""Figures of the training: what verl logged at each step, with the switch from internal to full policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bupo.figures.hover import hover
from bupo.figures.panel import Panel, finish
from bupo.figures.style import INK, MUTED, WIDE, Look, legend_below, new_figure, whole_numbers
from bupo.report.cells import Cell
from bupo.report.records import BASE, Run

CROWDED, TALL = 6, 4.4
"""With more cells than this a figure takes the page's width, and this height in inches."""


@dataclass(frozen=True)
class Curve:
    """A curve of the report.

    Attributes:
        keys: names of the metric in metrics.jsonl; the first one that a run has is shown.
        internal: whether it is of an internal policy, so that only runs that train one have it.
    """

    name: str
    title: str
    unit: str
    keys: tuple[str, ...]
    internal: bool = False


CURVES = (
    Curve("reward", "Reward", "mean reward of the rollouts", ("critic/score/mean", "critic/rewards/mean")),
    Curve("length", "Response length", "tokens, mean of the rollouts", ("response_length/mean",)),
    Curve("entropy", "Entropy of the full policy", "nats per token", ("bupo/entropy_full", "actor/entropy")),
    Curve(
        "entropy-internal",
        "Entropy of the internal policy",
        "nats per token",
        ("bupo/entropy_internal",),
        internal=True,
    ),
    Curve(
        "kl-internal",
        "KL from the full to the internal policy",
        "nats per token",
        ("bupo/kl_full_to_internal",),
        internal=True,
    ),
    Curve("gradient", "Gradient norm", "before clipping", ("actor/grad_norm",)),
    Curve("no-box", "Rollouts without a box", "share of the rollouts", ("reward/no_box",)),
    Curve("truncated", "Rollouts cut off", "share of the rollouts", ("bupo/truncated", "reward/truncated")),
    Curve("repetition", "Repetition", "share of repeated 8-grams of tokens", ("bupo/repetition",)),
)


def series(run: Run, curve: Curve) -> list[tuple[int, float]]:
    """The curve of a run, (step, value); empty where it was not recorded."""
    return next((run.metrics[key] for key in curve.keys if key in run.metrics), [])


def not_recorded(cells: Sequence[Cell], curve: Curve) -> list[str]:
    """Trained runs without this curve; an internal policy's is asked only of those that have one."""
    return [
        run.name
        for cell in cells
        if cell.name != BASE and (cell.first.bottom_up or not curve.internal)
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
        for run in cell.runs:
            points = series(run, curve)
            if not points:
                continue
            shown = True
            longest = max(longest, points[-1][0])
            few = len(points) <= 40
            (line,) = axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                color=style.color,
                linestyle=style.dash,
                marker=style.marker if few else None,
                markersize=3.5,
                label=cell.label,
            )
            name = cell.label if len(cell.runs) == 1 else f"{cell.label}, seed {run.seed}"
            each = [f"{name}, step {step}: {value:.4g}" for step, value in points]
            hover(line, each if few else name)
    if not shown:
        return None
    ends = sorted({end for cell in cells if cell.model == model for run in cell.runs for end in run.switches})
    for end in ends:
        axes.axvline(end + 0.5, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    if ends:
        axes.annotate(
            f"policy switch after step {' and '.join(map(str, ends))}",
            (ends[-1] + 0.5, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -2),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=MUTED,
        )
        axes.margins(y=0.16)
    axes.set_xlim(0.5, longest + 0.5)
    if axes.dataLim.height == 0:  # all the same: a scale around nothing would show what cannot be
        axes.set_ylim(0, max(1.0, 2 * axes.dataLim.y1))
    whole_numbers(axes)
    axes.set_xlabel("trainer step")
    axes.set_ylabel(curve.unit)
    axes.set_title(f"{curve.title}: {model}")
    legend_below(figure, axes, columns=3 if crowded else 2)
    alt = f"{curve.title} of every training run of {model} over its steps."
    return finish(figure, f"training-{curve.name}-{model}", alt)

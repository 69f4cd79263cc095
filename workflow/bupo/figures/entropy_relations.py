"""How internal policies and states stand to the final policy, to later layers and to the stream they join."""

from collections.abc import Callable, Iterable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

from bupo.figures.layer_axis import LENS_LOOKS, POLICIES, draw_line, finish_layers
from bupo.figures.panel import Panel, finish
from bupo.figures.study import Study
from bupo.figures.style import INK, Look, legend_below, looks, new_figure

Line = tuple[pd.DataFrame, Look, str]


def kl_to_final(study: Study) -> Panel | None:
    """KL divergence from each layer's policy to the final policy, through each lens."""
    return _panel(
        study,
        "kl-to-final",
        "KL to the final policy",
        "nats per token",
        _by_lens(study, "kl_to_final"),
        _from_zero,
        embedding=True,
    )


def agreement(study: Study) -> Panel | None:
    """Share of tokens at which a layer's most likely token is the final policy's."""

    def shares(axes: Axes) -> None:
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))

    return _panel(
        study,
        "agreement",
        "Same top token as the final policy",
        "share of tokens",
        _by_lens(study, "top1_agreement"),
        shares,
        embedding=True,
    )


def state_norms(study: Study) -> Panel | None:
    """Norm of the residual stream and of what each module adds: raw entropies depend on it."""
    names = {
        "layer": "residual stream",
        "attention": "attention output",
        "ffn": "FFN output",
    }
    lines = []
    for policy, label in names.items():
        policies = ("embedding", "layer") if policy == "layer" else (policy,)
        lines.append((study.rows("norm", policies, "raw"), POLICIES[policy], label))

    def wide(axes: Axes) -> None:
        values = pd.concat([rows["mean"] for rows, _, _ in lines])
        if values.min() > 0 and values.max() > 30 * values.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_ylim(bottom=0)

    return _panel(
        study, "state-norm", "State norms", "Euclidean norm, mean over tokens", lines, wide, embedding=True
    )


def residual_cosines(study: Study) -> Panel | None:
    """Cosine of each module's output with the residual stream that it is added to."""
    names = {"attention": "attention output", "ffn": "FFN output"}
    lines = [
        (study.rows("cosine", (policy,), "raw"), POLICIES[policy], name) for policy, name in names.items()
    ]
    return _panel(
        study,
        "residual-cosine",
        "Cosine with the residual stream",
        "cosine",
        lines,
        _zero_line,
        "About 0: new features; below: suppression; above: amplification.",
    )


def cosine_to_later(study: Study) -> Panel | None:
    """Cosine of layer k's state with every later layer's, for each anchor k."""
    lines = [
        (study.rows("cosine_to_later", ("layer",), "raw", anchor=k), look, f"k = {k}")
        for k, look in zip(study.anchors("cosine_to_later"), looks(), strict=False)
    ]
    title = "Cosine of layer k's state with later ones"
    return _panel(study, "cosine-to-later", title, "cosine", lines, _zero_line)


def kl_to_later(study: Study, lens: str) -> Panel | None:
    """KL divergence from layer k's policy to every later layer's, for each anchor k."""
    lines = [
        (study.rows("kl_to_later", ("layer",), lens, anchor=k), look, f"k = {k}")
        for k, look in zip(study.anchors("kl_to_later"), looks(), strict=False)
    ]
    title = f"KL from layer k to later ones, {lens.replace('_', ' ')} lens"
    return _panel(study, f"kl-to-later-{lens}", title, "nats per token", lines, _from_zero, lens=lens)


def _by_lens(study: Study, quantity: str) -> list[Line]:
    return [
        (study.rows(quantity, ("embedding", "layer"), lens), look, f"{lens.replace('_', ' ')} lens")
        for lens, look in LENS_LOOKS.items()
    ]


def _from_zero(axes: Axes) -> None:
    axes.set_ylim(bottom=0)


def _zero_line(axes: Axes) -> None:
    axes.axhline(0, color=INK, linewidth=0.8)


def _panel(
    study: Study,
    name: str,
    title: str,
    unit: str,
    lines: Iterable[Line],
    scale: Callable[[Axes], None],
    note: str = "",
    *,
    embedding: bool = False,
    lens: str | None = None,
) -> Panel | None:
    lines = [line for line in lines if not line[0].empty]
    if not lines:
        return None
    figure, axes = new_figure()
    for rows, look, label in lines:
        draw_line(axes, rows, look, label, points=study.layers)
    scale(axes)
    finish_layers(axes, study, f"{title}: {study.model}", unit, embedding=embedding)
    legend_below(figure, axes, columns=3)
    sentences = [note] if note else []
    return finish(
        figure,
        f"{name}-{study.model}",
        f"{title}, by layer of {study.model}.",
        study.caption(pd.concat([rows for rows, _, _ in lines]), *sentences, lens=lens),
    )

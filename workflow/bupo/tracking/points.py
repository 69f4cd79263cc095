"""The numbers of the stages as MLflow's points: evaluation, entropy analysis, flow over the training."""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.files import read_json
from bupo.tracking.names import metric_name

if TYPE_CHECKING:
    from mlflow.entities import Metric

SHARES = ("truncated_share", "no_box_share", "mean_tokens", "n_problems", "n_samples")


def evaluation_metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an evaluation under names that MLflow allows: ``eval/math500/pass_at_4_low``."""
    prefix = f"eval/{metric_name(summary['benchmark'])}"
    named = {f"avg_at_{summary['n_samples']}": summary["avg_at_n"]}
    named |= {f"pass_at_{k}": estimate for k, estimate in summary["pass_at_k"].items()}
    values: dict[str, float] = {}
    for name, estimate in named.items():
        values[f"{prefix}/{name}"] = estimate["value"]
        values[f"{prefix}/{name}_low"] = estimate["low"]
        values[f"{prefix}/{name}_high"] = estimate["high"]
    maj = summary.get("maj_at_n")
    if maj is not None:
        values[f"{prefix}/maj_at_{summary['n_samples']}"] = maj["value"] if isinstance(maj, Mapping) else maj
    values |= {f"{prefix}/{name}": summary[name] for name in SHARES if summary.get(name) is not None}
    return {name: float(value) for name, value in values.items() if value is not None}


def entropy_points(folder: Path) -> Iterator["Metric"]:
    """The entropy analysis as metrics whose step is the layer, so that the UI draws the entropy flow.

    The boundary layer, where there is one, is a metric at step 0.
    """
    import pandas as pd

    boundary = read_json(folder / "boundary.json")
    path = folder / "statistics.parquet"
    if boundary["boundary_layer"] is not None:
        yield from points_of(
            {"entropy/boundary_layer": boundary["boundary_layer"]}, 0, folder / "boundary.json"
        )
    table = pd.read_parquet(path)
    rows = table[(table["slice"] == "all") & table["quantity"].isin(["entropy", "entropy_change"])]
    for quantity, policy, lens, layer, mean in rows[
        ["quantity", "policy", "lens", "layer", "mean"]
    ].itertuples(index=False, name=None):
        if math.isfinite(mean):
            name = metric_name(f"entropy/{quantity}/{policy}/{lens or 'none'}")
            yield from points_of({name: float(mean)}, int(layer), path)


def flow_points(path: Path) -> Iterator["Metric"]:
    """The entropy of each layer's internal policy, and the loss, at each step that was analysed."""
    import pandas as pd

    table = pd.read_parquet(path)
    table = table[(table["slice"] == "all") & table["mean"].notna()]
    layers = table[(table["quantity"] == "entropy") & (table["policy"] == "layer") & (table["lens"] == "raw")]
    for step, layer, mean in layers[["step", "layer", "mean"]].itertuples(index=False, name=None):
        yield from points_of({f"flow/entropy/layer_{layer:02d}": mean}, int(step), path)
    losses = table[table["quantity"] == "nll"]
    for step, mean in losses[["step", "mean"]].itertuples(index=False, name=None):
        yield from points_of({"flow/nll": mean}, int(step), path)


def points_of(values: Mapping[str, float], step: int, source: Path) -> Iterable["Metric"]:
    """Points with the time stamp of the file that they come from: logged twice, they are there once."""
    from mlflow.entities import Metric

    stamp = int(source.stat().st_mtime * 1000)
    return [Metric(name, float(value), stamp, step) for name, value in values.items()]

"""The tidy table of means and intervals, from the sums over each problem's tokens."""

from collections.abc import Iterable, Sequence

import pandas as pd

from bupo.entropy.clustered import ClusteredMeans
from bupo.entropy.quantities import Row
from bupo.entropy.tables import SliceSums


def statistics_table(
    rows: Sequence[Row], slices: Sequence[str], sums: Iterable[SliceSums], level: float
) -> pd.DataFrame:
    """One line for each slice and row, with intervals clustered by problem.

    Sums are added one at a time in the order given: the same order gives bitwise the same table, and memory
    does not grow with the number of problems.

    Args:
        rows: the R rows of the sums.
        slices: in the order that the table has them; those without tokens are left out.
        sums: of each problem and slice.
        level: of the intervals, such as 0.95.

    Returns:
        quantity, policy, layer, lens, anchor, slice, mean, low, high, n_tokens, n_problems.
    """
    means: dict[str, ClusteredMeans] = {}
    for each in sums:
        means.setdefault(each.slice, ClusteredMeans(len(rows))).add(each.sums, each.n_tokens)
    index = pd.DataFrame([vars(row) for row in rows]).astype({"anchor": "Int64"})
    frames = []
    for name in slices:
        if name in means:
            found = means[name].interval(level)
            numbers = {"mean": found.mean, "low": found.low, "high": found.high}
            counts = {"n_tokens": means[name].tokens, "n_problems": means[name].clusters}
            frames.append(index.assign(slice=name, **numbers, **counts))
    return pd.concat(frames, ignore_index=True)

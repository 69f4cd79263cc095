"""The comparison that users make, as a shared view of MLflow's chart page: pass@1 over k and iterative_steps.

It is what the page's own button "Share" keeps: a tag of the experiment, which an address names. Its form is
that of MLflow 3.17; what another version does not know it leaves out.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "bupo-comparison"
TAG = f"mlflow.sharedViewState.{KEY}"
SECTION = "bupo-comparison"
POLICY, STEPS, METHOD = "cell.policy", "cell.iterative_steps", "cell.method"
NAMES = {METHOD: "method", POLICY: "layer", STEPS: "iterative steps"}
SOMETIMES = {"cell.model": "model", "cell.train_set": "training set", "cell.lr": "learning rate"}
"""Axes where the cells of an experiment differ in them, which would otherwise look like cells of one kind."""
ROLE_OF_CELLS = "tags.`bupo.role` = 'cell' AND params.`cell.method` != 'base'"


def share_view(
    client: "MlflowClient", experiment: str, benchmarks: Sequence[str], cells: Iterable[Mapping[str, str]]
) -> None:
    """Write the view to an MLflow experiment, unless it is there.

    Args:
        client: of the store.
        experiment: its id.
        benchmarks: of the experiment, in its order.
        cells: the grid parameters of every run.
    """
    text = json.dumps(view(benchmarks, varying(cells)))
    if client.get_experiment(experiment).tags.get(TAG) != text:
        client.set_experiment_tag(experiment, TAG, text)


def main_metric(benchmarks: Sequence[str]) -> str:
    """What cells are compared by: the mean over the benchmarks, or that of the only one."""
    return "eval/mean/pass_at_1" if len(benchmarks) > 1 else f"eval/{benchmarks[0]}/pass_at_1"


def varying(cells: Iterable[Mapping[str, str]]) -> list[str]:
    """Those of `SOMETIMES` in which the trained cells differ.

    Args:
        cells: the grid parameters of every run, those of models before training among them.
    """
    trained = [cell for cell in cells if cell[METHOD] != "base"]
    return [name for name in SOMETIMES if len({cell.get(name) for cell in trained}) > 1]


def view(benchmarks: Sequence[str], further: Sequence[str] = ()) -> dict[str, Any]:
    """The view: the trained cells, best first; parallel coordinates, bars, and points over k.

    Args:
        benchmarks: of the experiment, in its order.
        further: axes before those of every experiment, see `varying`.
    """
    axes = [*further, METHOD, POLICY, STEPS]
    *first, last = ({**SOMETIMES, **NAMES}[name] for name in axes)
    metric = main_metric(benchmarks)
    scores = [f"eval/{name}/pass_at_1" for name in benchmarks]
    charts = [
        _chart(
            "parallel",
            "PARALLEL",
            displayName=f"pass@1 over {', '.join(first)} and {last}",
            selectedParams=axes,
            selectedMetrics=[metric],
            showAllRuns=True,
        ),
        _chart("bar", "BAR", displayName=metric, metricKey=metric, runsCountToCompare=20),
        _chart(
            "scatter",
            "SCATTER",
            displayName=f"{metric} over iterative steps",
            xaxis={"key": STEPS, "type": "PARAM"},
            yaxis={"key": metric, "type": "METRIC"},
            runsCountToCompare=100,
        ),
    ]
    columns = [f"params.`{name}`" for name in (*axes, "cell.seed")]
    columns += [f"metrics.`{name}`" for name in dict.fromkeys([metric, *scores])]
    return {
        "searchFilter": ROLE_OF_CELLS,
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": False,
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": [
            {
                "uuid": SECTION,
                "name": "Comparison of the cells",
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
            }
        ],
        "isAccordionReordered": True,
    }


def _chart(name: str, kind: str, **settings: Any) -> Mapping[str, Any]:
    return {
        "uuid": f"{SECTION}-{name}",
        "type": kind,
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": False,
        **settings,
    }

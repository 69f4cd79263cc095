"""What a grid is, on its MLflow run: the description that the UI shows above the runs' files."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE = "mlflow.note.content"
AXES = ("model", "method", "train_set", "layer", "iterative_steps", "learning_rate", "seed")


def describe(client: "MlflowClient", parent: str, experiment: Mapping[str, Any]) -> None:
    """Write the grid's definition as the note of its run."""
    client.set_tag(parent, NOTE, definition(experiment))


def definition(experiment: Mapping[str, Any]) -> str:
    """An experiment's axes with their values, its benchmarks and steps, in Markdown.

    Args:
        experiment: a resolved experiment.yaml.
    """
    cells = experiment["cells"]
    lines = [experiment.get("description", ""), "", "| axis | values |", "|---|---|"]
    for axis in AXES:
        values = dict.fromkeys(cell.get(axis) for cell in cells)
        shown = ", ".join("—" if value is None else str(value) for value in values)
        lines.append(f"| {axis} | {shown} |")
    lines += [
        "",
        f"{len(cells)} runs of {experiment['training']['steps']} steps; "
        f"benchmarks: {', '.join(experiment['data']['benchmarks'])}. "
        "The whole definition is experiment/experiment.yaml, the results are report/index.html.",
    ]
    return "\n".join(lines).strip()

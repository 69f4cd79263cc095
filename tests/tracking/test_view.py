"""The shared view that the comparison's address opens."""

import json
from dataclasses import replace

import pytest
from grid_files import AUTO, GRPO, cell, summary, write_config, write_experiment

from bupo.tracking.grid import init
from bupo.tracking.links import ui_address
from bupo.tracking.log import Results, log_results
from bupo.tracking.runs import base_parameters, cell_parameters
from bupo.tracking.store import open_store
from bupo.tracking.view import SOMETIMES, TAG, main_metric, varying, view


def test_the_view_is_on_the_experiment_and_its_filter_finds_the_trained_cells(grid):
    uri, experiment, tracking = grid
    init(experiment, uri, experiment.parent / "tracking.json")
    with open_store(uri) as client:
        kept = json.loads(client.get_experiment(tracking.experiment_id).tags[TAG])
        found = client.search_runs(
            [tracking.experiment_id], kept["searchFilter"], order_by=["attributes.start_time"]
        )
    assert kept == view(["easy", "hard"])
    assert {run.info.run_id for run in found} == {tracking.runs[GRPO], tracking.runs[AUTO]}


@pytest.mark.parametrize(
    ("changes", "axes", "title"),
    [
        ({}, [], "pass@1 over method, layer and iterative steps"),
        ({"seed": 2}, [], "pass@1 over method, layer and iterative steps"),
        ({"model": "small"}, ["cell.model"], "pass@1 over model, method, layer and iterative steps"),
        (
            {"train_set": "gsm8k", "learning_rate": 1e-6},
            ["cell.train_set", "cell.lr"],
            "pass@1 over training set, learning rate, method, layer and iterative steps",
        ),
    ],
)
def test_cells_that_differ_in_more_than_the_layer_are_told_apart(uri, tmp_path, changes, axes, title):
    folder = tmp_path / "results" / "demo"
    experiment = write_experiment(folder, [cell("grpo"), {**cell("bupo-k3-s4", 3), **changes}])
    tracking = init(experiment, uri, folder / "tracking.json")
    with open_store(uri) as client:
        kept = json.loads(client.get_experiment(tracking.experiment_id).tags[TAG])
    parallel = kept["compareRunCharts"][0]
    assert parallel["selectedParams"] == [*axes, "cell.method", "cell.policy", "cell.iterative_steps"]
    assert parallel["displayName"] == title
    assert kept["selectedColumns"][: len(axes)] == [f"params.`{name}`" for name in axes]


def test_models_before_training_add_no_axis():
    base = base_parameters("other")
    assert varying([base, cell_parameters(cell("grpo")), cell_parameters(cell("bupo-k3-s4", 3))]) == []


def test_what_the_view_shows_is_what_is_logged(grid):
    uri, experiment, tracking = grid
    write_config(experiment.parent, GRPO)  # the learning rate is the configuration's
    init(experiment, uri, experiment.parent / "tracking.json")
    files = [experiment.parent / f"{name}.json" for name in ("easy", "hard")]
    for file in files:
        file.write_text(json.dumps(summary(file.stem, 0.5)))
    with open_store(uri) as client:
        data = client.get_run(log_results(client, tracking, GRPO, Results(files))).data
    parallel, bar, scatter = view(["easy", "hard"], list(SOMETIMES))["compareRunCharts"]
    assert set(parallel["selectedParams"]) | {scatter["xaxis"]["key"]} <= set(data.params)
    assert set(parallel["selectedMetrics"]) | {bar["metricKey"], scatter["yaxis"]["key"]} <= set(data.metrics)
    columns = {column.split("`")[1] for column in view(["easy", "hard"], list(SOMETIMES))["selectedColumns"]}
    assert columns <= {*data.params, *data.metrics}


def test_charts_belong_to_the_section():
    shown = view(["easy"])
    [section] = shown["compareRunSections"]
    assert {chart["metricSectionId"] for chart in shown["compareRunCharts"]} == {section["uuid"]}
    assert len({chart["uuid"] for chart in shown["compareRunCharts"]}) == 3
    assert main_metric(["easy"]) == "eval/easy/pass_at_1" != main_metric(["easy", "hard"])


def test_links_lead_to_the_server_of_the_experiment(grid):
    _, _, tracking = grid
    assert ui_address(tracking) == "http://127.0.0.1:5000"
    assert ui_address(replace(tracking, uri="http://login1:5001/")) == "http://login1:5001"

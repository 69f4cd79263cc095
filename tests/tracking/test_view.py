"""The shared view that the comparison's address opens."""

import json
from dataclasses import replace

from grid_files import AUTO, GRPO, summary

from bupo.tracking.grid import init
from bupo.tracking.links import ui_address
from bupo.tracking.log import Results, log_results
from bupo.tracking.store import open_store
from bupo.tracking.view import TAG, main_metric, view


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


def test_what_the_view_shows_is_what_is_logged(grid):
    uri, experiment, tracking = grid
    files = [experiment.parent / f"{name}.json" for name in ("easy", "hard")]
    for file in files:
        file.write_text(json.dumps(summary(file.stem, 0.5)))
    with open_store(uri) as client:
        data = client.get_run(log_results(client, tracking, GRPO, Results(files))).data
    parallel, bar, scatter = view(["easy", "hard"])["compareRunCharts"]
    assert set(parallel["selectedParams"]) | {scatter["xaxis"]["key"]} <= set(data.params)
    assert set(parallel["selectedMetrics"]) | {bar["metricKey"], scatter["yaxis"]["key"]} <= set(data.metrics)
    columns = {column.split("`")[1] for column in view(["easy", "hard"])["selectedColumns"]}
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

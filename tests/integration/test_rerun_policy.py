"""What an edit runs again, asked of Snakemake itself over a finished tree.

The files of the tree are stand-ins that Snakemake has taken for its jobs' outputs (``--touch``); what is due
after an edit is what a dry run plans.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

EXPERIMENT = {
    "description": "A grid to edit.",
    "models": {"train": ["tiny_qwen3"], "analyse": ["tiny_qwen3"]},
    "data": {"train": ["arithmetic"], "benchmarks": ["arithmetic_easy", "arithmetic_hard"]},
    "analysis": {"settings": "smoke", "problems": "arithmetic_easy", "snapshots": 2},
    "training": {"engine": "cpu", "steps": 4, "overrides": ["actor_rollout_ref.actor.optim.lr=1.0e-4"]},
    "evaluation": {"settings": "smoke"},
    "auto_layer": {"fallback": 3},
    "grid": [
        {"method": "grpo", "learning_rate": [1.0e-5, 2.0e-5]},
        {"method": "bupo", "layer": ["auto", 5], "iterative_steps": 2},
    ],
}
CELLS, BENCHMARKS = 4, 2
FOLDERS = ("results/edited/report/tables", "results/edited/report/figures")
"""Outputs that are directories."""
AFTERWARDS = {"report": 1, "tracked": 1}
"""What follows on any new score."""


@pytest.fixture(scope="module")
def finished(shared_checkout):
    """A checkout with an experiment of which everything is there."""
    folder = shared_checkout.folder
    (folder / "configs/experiment/edited.yaml").write_text(json.dumps(EXPERIMENT))
    table = shared_checkout.run("--config", "experiment=edited", "--summary").stdout
    files = [line.split("\t")[0] for line in table.splitlines() if line.startswith("results/")]
    assert len(files) > 40, table
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if file in FOLDERS:
            (folder / file).mkdir()
        else:
            (folder / file).write_text(file)
    touched = shared_checkout.run("--config", "experiment=edited", "--touch", "--forceall", "--no-hooks")
    assert touched.returncode == 0, touched.stdout[-4000:]
    return shared_checkout


@pytest.fixture
def edited(finished) -> Iterator[Path]:
    """The folder with the configuration, which is as it was afterwards."""
    configs, kept = finished.folder / "configs", finished.folder / "kept"
    shutil.copytree(configs, kept)
    yield configs
    shutil.rmtree(configs)
    kept.rename(configs)


def due(checkout) -> dict[str, int]:
    """How many jobs of each rule would run."""
    planned = checkout.run("--dry-run", "--quiet", "rules", "--config", "experiment=edited")
    assert planned.returncode == 0, planned.stdout[-4000:]
    pairs = (line.split() for line in planned.stdout.splitlines() if len(line.split()) == 2)
    counts = {rule: int(count) for rule, count in pairs if count.isdigit()}
    return {rule: count for rule, count in counts.items() if rule not in ("all", "total")}


def change(configs: Path, **sections) -> None:
    (configs / "experiment/edited.yaml").write_text(json.dumps({**EXPERIMENT, **sections}))


def replace(path: Path, old: str, new: str) -> None:
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def trained_anew(cells: int) -> dict[str, int]:
    """What follows where so many cells are another science: each is sampled by two jobs for a benchmark."""
    evaluations = cells * BENCHMARKS
    return {"configure": cells, "train": cells, "sample": 2 * evaluations, "grade": evaluations, **AFTERWARDS}


def test_nothing_is_due_in_a_finished_tree(finished):
    assert due(finished) == {}


def test_words_and_their_order_run_nothing(finished, edited):
    change(edited, description="The same grid, with another description.", expected_seconds={"train": 99})
    for path in [*sorted(edited.glob("*/*.yaml")), edited / "cell.yaml"]:
        values = yaml.safe_load(path.read_text())
        if "defaults" not in values:  # of Hydra, where the order says which is laid over which
            values = dict(reversed(values.items()))
        head = "# @package _global_\n" if "_global_" in path.read_text() else ""
        path.write_text(f"{head}# another comment\n{yaml.safe_dump(values, sort_keys=False)}")
    assert due(finished) == {}


def test_what_is_logged_and_how_long_a_job_may_take_run_nothing(finished, edited):
    overrides = [
        *EXPERIMENT["training"]["overrides"],
        "trainer.log_val_generations=3",
        "bupo.time_limit_s=60",
    ]
    change(edited, training={**EXPERIMENT["training"], "overrides": overrides})
    replace(edited / "cell.yaml", "checkpoints: {keep_last: 2,", "checkpoints: {keep_last: 3,")
    assert due(finished) == {}
    told = yaml.safe_load((finished.folder / "results/edited/spec/training.yaml").read_text())
    assert told == overrides[1:]  # for the runs that are still to be trained


def test_a_learning_rate_of_the_grid_trains_its_cell_alone(finished, edited):
    grid = [{"method": "grpo", "learning_rate": [1.0e-5, 3.0e-5]}, EXPERIMENT["grid"][1]]
    change(edited, grid=grid)
    assert due(finished) == {**trained_anew(1), "flow": 5}  # every run is looked at where another is trained


def test_a_learning_rate_of_all_cells_trains_all_and_samples_the_base_no_more(finished, edited):
    overrides = ["actor_rollout_ref.actor.optim.lr=2.0e-4"]
    change(edited, training={**EXPERIMENT["training"], "overrides": overrides})
    assert due(finished) == {**trained_anew(CELLS), "flow": 5}


def test_a_method_that_is_changed_in_its_file_trains_its_cells(finished, edited):
    replace(edited / "algorithm/bupo.yaml", "    - {layer: final}", "    - {layer: final, steps: null}")
    assert due(finished) == {**trained_anew(2), "flow": 5}


def test_another_grader_grades_and_draws_nothing(finished, edited):
    replace(edited / "evaluation/smoke.yaml", "grader: math_verify", "grader: string")
    assert due(finished) == {"grade": (CELLS + 1) * BENCHMARKS, **AFTERWARDS}


def test_more_samples_are_added_to_those_that_are_there(finished, edited):
    replace(edited / "evaluation/smoke.yaml", "samples: 2\n", "samples: 6\n")
    evaluations = (CELLS + 1) * BENCHMARKS
    # samples 2 to 3 and 4 to 5, of two parts of the problems; 0 to 1 stay
    assert due(finished) == {"sample": 4 * evaluations, "grade": evaluations, **AFTERWARDS}


def test_another_benchmark_leaves_every_run_what_it_is(finished, edited):
    """It is searched for in the training problems, which may lose some; no configuration hangs on it."""
    names = EXPERIMENT["data"]["benchmarks"]
    shutil.copy(edited / "data/arithmetic_easy.yaml", edited / "data/arithmetic_other.yaml")
    replace(edited / "data/arithmetic_other.yaml", "name: arithmetic_easy", "name: arithmetic_other")
    change(edited, data={**EXPERIMENT["data"], "benchmarks": [*names, "arithmetic_other"]})
    planned = due(finished)
    assert planned["contamination"] == planned["export_benchmark"] == 1
    assert not {"configure", "model", "entropy"} & set(planned)


def test_a_new_cell_hides_no_other_change_of_the_same_edit(finished, edited):
    change(edited, grid=[*EXPERIMENT["grid"], {"method": "bupo", "layer": 2, "iterative_steps": 2}])
    replace(edited / "evaluation/smoke.yaml", "grader: math_verify", "grader: string")
    anew = trained_anew(1)
    assert due(finished) == {**anew, "grade": anew["grade"] + (CELLS + 1) * BENCHMARKS, "flow": 6}

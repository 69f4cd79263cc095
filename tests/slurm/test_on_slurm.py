"""The demo's pipeline on a real Slurm of one node, from nothing to the report."""

from collections import Counter

import pytest
from grid import AUTO_RUN, BASE, EVALUATED, RUN, called
from slurm_jobs import described

from bupo.files import read_json, read_yaml

pytestmark = [pytest.mark.slow, pytest.mark.slurm]


def test_an_experiment_is_made_by_jobs_of_slurm(finished):
    assert (finished.results / "report/index.html").stat().st_size > 0
    rules = Counter(line.split("rule_")[1].split("_wildcards")[0] for line in finished.submitted())
    assert rules == {"model": 1, "entropy": 1, "train": 2, "flow": 3, "evaluate": 3}
    for run in (RUN, AUTO_RUN):
        done = read_json(finished.results / run / "done.json")
        (job,) = done["jobs"]
        assert (done["steps"], job["outcome"], job["partition"]) == (3, "completed", "cpu")
        (line,) = (line for line in finished.submitted("train") if run.split("/")[2] in line)
        assert line.split()[0] == job["slurm_job_id"]
    assert not finished.queued()


def test_a_cell_waits_for_the_layer_that_the_entropy_finds(finished):
    boundary = read_json(finished.results / "entropy/tiny_qwen3/boundary.json")
    config = read_yaml(finished.results / AUTO_RUN / "config.yaml")
    assert config["bupo"]["layer"] == (boundary["recommended_layer"] or 3)


def test_jobs_get_the_gpu_and_the_partition_that_the_file_gives_them(finished):
    for line in finished.submitted("evaluate"):
        job = described(line.split()[0])
        assert (job["JobState"], job["Partition"], job["TresPerNode"]) == ("COMPLETED", "gpu", "gres:gpu:1")


def test_a_second_call_finds_nothing_to_do(finished):
    before = finished.submitted()
    with called(finished) as call:
        pass
    assert "Nothing to be done" in call.output
    assert finished.submitted() == before


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """The base model evaluated once more, two jobs at a time, while sbatch fails and files are edited."""
    grid = finished.copy(tmp_path_factory.mktemp("evaluated"))
    grid.shards(3)
    grid.forget(BASE)
    # three times in ten; of the job that grades only the answer is lost
    grid.environment = {**grid.environment, "SBATCH_FAILS": "17", "SBATCH_LOSES": "4"}
    with called(grid, EVALUATED, "--jobs", "2", "--retries", "0") as call:
        call.wait_until(lambda: len(grid.submitted("sample")) == 2)
        for file in ("experiment/small.yaml", "config.yaml"):
            (grid.folder / "configs" / file).write_text("half: [")
    return grid


def test_arrays_are_as_long_as_jobs_are_allowed(evaluated):
    arrays = [line.split()[1] for line in evaluated.submitted("sample")]
    assert arrays[:2] == ["--array=1-2"] * 2 and not arrays[2].startswith("--array")
    assert len(list((evaluated.results / BASE).glob("shard-*-of-3-*.parquet"))) == 3


def test_an_sbatch_that_fails_costs_no_attempt_and_makes_no_second_job(evaluated):
    calls = [line.split()[0] == "refused" for line in evaluated.submitted()]
    assert calls == [True, False, False, False]
    assert len(evaluated.submitted("grade")) == 1


def test_an_edit_while_a_grid_runs_reaches_none_of_its_jobs(evaluated):
    # most of them began after it, on a node
    assert read_json(evaluated.folder / EVALUATED)["n_problems"] == 16

"""What the stages cost: from the trainings' calls and the stages' logs, and said where it was not recorded."""

import json

import pytest
from results_tree import Scenario, make_tree

from bupo.report.collect import collect
from bupo.report.costs import Cost, together

SMALL = Scenario(problems=2, samples=2, snapshots=None, skill={"base": 0.0, "grpo": 0.1, "bupo-k2-s4": 0.1})


def by_stage(experiment):
    return {stage.stage: stage for stage in collect(experiment).costs}


def test_stages_add_up(tmp_path):
    stages = by_stage(make_tree(tmp_path, SMALL))
    assert list(stages) == ["data", "models", "entropy analysis", "training", "evaluation"]
    evaluation = stages["evaluation"]
    assert (evaluation.results, evaluation.recorded) == (6, 6)
    assert evaluation.cost == Cost(360.0, 360.0, 540.0, 6)
    assert stages["data"].cost.gpu_s == 0.0, "preparing data holds no GPU, whatever the machine has"
    assert stages["data"].cost.core_s == 4 * 90.0


def test_a_preempted_training_counts_with_all_its_calls(tmp_path):
    experiment = make_tree(tmp_path, SMALL)
    run = next(r for r in collect(experiment).runs if r.cell == "grpo")
    assert run.cost == Cost(5400.0, 8 * 5400.0, None, 2), (
        "the log has the processor time of the last call only"
    )
    assert by_stage(experiment)["training"].cost.gpu_s == 2 * 8 * 5400.0
    path = experiment.parent / "runs" / run.name / "done.json"
    done = json.loads(path.read_text())
    path.write_text(json.dumps({**done, "jobs": done["jobs"][:1]}))
    run = next(r for r in collect(experiment).runs if r.cell == "grpo")
    assert run.cost == Cost(1800.0, 8 * 1800.0, 90.0, 1)


def test_parts_of_a_result_are_added(tmp_path):
    experiment = make_tree(tmp_path, SMALL)
    log = (
        experiment.parent
        / "logs/evaluation/tiny_qwen3/grpo/seed1/arithmetic_easy/shard-1-of-1-samples-0-1.log"
    )
    log.parent.mkdir()
    log.write_text("[spent] 100.0 s, 10.0 s of processors, 2 GPUs\n")
    evaluation = by_stage(experiment)["evaluation"]
    assert evaluation.cost == Cost(460.0, 560.0, 550.0, 7) and evaluation.recorded == 6


def test_what_was_not_recorded_is_said_so(tmp_path):
    stages = by_stage(make_tree(tmp_path, Scenario(**{**vars(SMALL), "recorded": False})))
    assert stages["evaluation"].cost is None and stages["evaluation"].recorded == 0
    training = stages["training"]
    assert training.recorded == 2 and training.cost.wall_s > 0
    assert training.cost.gpu_s is None and training.cost.calls is None
    assert "the last call" in training.source


@pytest.mark.parametrize("known", [1.0, None])
def test_a_sum_is_known_where_all_parts_are(known):
    total = together([Cost(1.0, 2.0, 3.0), Cost(1.0, known, 3.0)])
    assert total == Cost(2.0, None if known is None else 3.0, 6.0, 2)
    assert together([]) is None

import json
import os
import time

import pytest
from pydantic import TypeAdapter
from small_tree import BASE, BUPO, GRPO, MODEL, call

from bupo.errors import UserError
from bupo.experiment.plan import Plan
from bupo.experiment.resolve import plan_of
from bupo.files import exclusive, write_text


def status(bupo, *arguments):
    code, said = bupo("status", "demo", "--json", *arguments)
    assert code == 0
    found = json.loads(said)
    return found, {run["run"]: run for run in found["runs"]}


def test_nothing_has_begun(tree, bupo):
    found, runs = status(bupo)
    assert found["counts"] == {"done": 0, "collapsed": 0, "running": 0, "failed": 0, "waiting": 2}
    assert (runs[GRPO]["step"], runs[GRPO]["steps"], runs[GRPO]["age"]) == (0, 12, None)
    assert found["stages"]["evaluation"] == {"made": 0, "of": 6}
    # two boundaries, and the flow of two runs and of what they began with
    assert found["stages"]["analysis"] == {"made": 0, "of": 5}


def test_done_collapsed_and_trained_with_another_configuration(tree, bupo):
    tree.done(tree.config())
    collapse = {"step": 3, "metric": "bupo/truncated"}
    tree.done(tree.config(BUPO), BUPO, status="collapsed", collapse=collapse, steps=3)
    tree.metrics(BUPO, steps=3)
    _, runs = status(bupo)
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == ("done", "")
    assert (runs[BUPO]["state"], runs[BUPO]["note"]) == ("collapsed", "at step 3: bupo/truncated")
    later = time.time() + 10
    config = tree.folder / "runs" / GRPO / "config.yaml"
    os.utime(config, (later, later))
    assert status(bupo)[1][GRPO]["state"] == "done"
    tree.config(lr=2e-4)
    os.utime(config, (later, later))
    _, runs = status(bupo)
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == ("waiting", "trained with another configuration")


def test_a_run_whose_lock_is_held_is_running_with_step_reward_and_time_left(tree, bupo):
    path = tree.metrics(steps=5, seconds=2.0, first=90.0)
    os.utime(path, (time.time() - 120, time.time() - 120))
    with exclusive(path.parent / ".lock"):
        found, runs = status(bupo)
    run = runs[GRPO]
    assert found["counts"]["running"] == 1
    assert (run["state"], run["step"], run["reward"]) == ("running", 5, 5 / 16)
    assert run["left"] == 7 * 2.0  # the median of the last steps
    assert run["age"] == pytest.approx(120, abs=60)
    _, runs = status(bupo)
    assert runs[GRPO]["left"] is None


@pytest.mark.parametrize(
    ("entry", "state", "note"),
    [
        ({"outcome": "stopped"}, "waiting", "stopped, to be gone on with"),
        ({"outcome": "completed"}, "waiting", "trained; done.json is to be written again"),
        ({"outcome": "failed"}, "failed", f"failed (job 77); see results/demo/logs/runs/{GRPO}.log"),
        ({"ended": None, "outcome": None}, "failed", "killed (job 77)"),
        ({"ended": None, "outcome": None, "slurm_job_id": None}, "failed", "killed"),
    ],
)
def test_a_run_that_nobody_works_on_any_more(tree, bupo, programs, entry, state, note):
    programs()  # and so no squeue
    tree.jobs([call(tree.config(), **entry)])
    _, runs = status(bupo)
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == (state, note)


def test_a_job_that_failed_before_it_trained(tree, bupo):
    write_text(tree.folder / f"logs/runs/{GRPO}.log", "[x]\nerror: trainer.nnodes = 0 is too few.\n")
    _, runs = status(bupo)
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == ("failed", "error: trainer.nnodes = 0 is too few.")


def test_slurms_queue_says_what_runs_and_what_waits(tree, bupo, programs):
    programs(
        squeue="echo '41|41|RUNNING||node7'\necho '50|42_3|PENDING||(Resources)'\necho '43|43|RUNNING||node9'"
    )
    tree.mark(f"results/demo/runs/{GRPO}/done.json", {"external_jobid": "41"})
    tree.mark(f"results/demo/runs/{BUPO}/done.json", {"external_jobid": "42_3"})
    _, runs = status(bupo)
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == ("running", "job 41 on node7")
    assert (runs[BUPO]["state"], runs[BUPO]["note"]) == ("waiting", "job 42_3: pending (Resources)")
    # The job's own record, where Snakemake's mark is gone.
    tree.mark(f"results/demo/runs/{GRPO}/done.json", {"external_jobid": None})
    tree.jobs([call(tree.config(), ended=None, outcome=None, slurm_job_id="43")])
    assert status(bupo)[1][GRPO]["note"] == "job 43 on node9"


def test_a_job_that_has_begun_is_known_by_its_comment_and_its_mark(tree, bupo, programs):
    programs(squeue=f"echo '41|41|RUNNING|rule_train_wildcards_{MODEL}_grpo_1 0123456789ab|node7'")
    assert status(bupo)[1][GRPO]["state"] == "waiting"  # another experiment's job may have the same comment
    tree.mark(f"results/demo/runs/{GRPO}/done.json", {"external_jobid": None})
    assert status(bupo)[1][GRPO]["note"] == "job 41 on node7"


def test_a_mark_whose_job_is_gone_counts_for_nothing(tree, bupo, programs):
    programs(squeue="exit 0")
    tree.mark(f"results/demo/runs/{GRPO}/done.json", {"external_jobid": "41"})
    assert status(bupo)[1][GRPO]["state"] == "waiting"


def test_a_queue_that_does_not_answer_is_told(tree, bupo, programs):
    programs(squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    tree.jobs([call(tree.config(), ended=None, outcome=None)])
    found, runs = status(bupo)
    assert "Unable to contact slurm controller" in found["queue_problem"]
    assert (runs[GRPO]["state"], runs[GRPO]["note"]) == ("running", "job 77 by its last record")
    assert "Slurm's queue is not in this: squeue ended with status 1" in bupo("status", "demo")[1]


def test_the_end_of_a_long_file_is_read_and_a_line_that_is_being_written_is_not(tree, bupo):
    path = tree.metrics()
    line = json.dumps({"step": 5, "critic/score/mean": 0.5, "filler": "ä" * 70_000}, ensure_ascii=False)
    last = json.dumps({"step": 6, "critic/score/mean": 0.75})
    path.write_text(line + "\n" + last + "\n" + '{"step": 7')
    run = status(bupo)[1][GRPO]
    assert (run["step"], run["reward"]) == (6, 0.75)


def test_other_results_are_counted(tree, bupo):
    for run in (BASE, GRPO):
        tree.evaluation(run)
    write_text(tree.folder / f"models/{MODEL}/model.json", "{}")
    write_text(tree.folder / f"entropy/{MODEL}/boundary.json", "{}")
    write_text(tree.folder / f"entropy/{GRPO}/flow.parquet", "")
    stages = status(bupo)[0]["stages"]
    assert {name: (stage["made"], stage["of"]) for name, stage in stages.items()} == {
        **{"data": (0, 3), "models": (1, 2), "analysis": (2, 5), "evaluation": (2, 6)},
        "report": (0, 1),
    }


@pytest.fixture
def started(tree, monkeypatch):
    """The tree with the plan of the call that started it, on one processor."""
    grid = "grid=[{method: grpo}, {method: bupo, layer: 5, iterative_steps: 4}]"
    plan = plan_of("demo", [grid, "models.analyse=[tiny_qwen3]"], tree.root / "configs")
    write_text(tree.folder / "plan.json", TypeAdapter(Plan).dump_json(plan, exclude_unset=True).decode())
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    return tree


def test_the_time_left_of_the_grid_is_what_is_planned_for_the_rest(started, bupo, monkeypatch):
    def left():
        return status(bupo)[0]["left"]

    whole = left()
    assert (whole["at_least"], whole["trainings"]) == (False, 1)
    started.evaluation(BASE)
    each = 9  # seconds, in configs/experiment/demo.yaml
    assert left()["seconds"] == pytest.approx(whole["seconds"] - each)
    started.done(started.config())
    rest = left()["seconds"]
    assert rest < whole["seconds"] - 60
    path = started.metrics(BUPO, steps=6, seconds=2.0, internal_seconds=2.0)
    assert left()["seconds"] == pytest.approx(rest - 30)  # half of its steps
    with exclusive(path.parent / ".lock"):
        running = left()
    assert running["seconds"] == pytest.approx(rest - 60 + 6 * 2.0)  # by its last steps
    monkeypatch.setattr("os.cpu_count", lambda: 1000)
    assert left()["seconds"] < rest - 30
    said = bupo("status", "demo")[1].splitlines()
    assert said[2].startswith("time left: about ") and said[2].endswith(
        " with 1 training at a time (bupo plan)"
    )


def test_what_nobody_started_or_another_version_did_has_no_time_left(started, bupo):
    (started.folder / "plan.json").write_text("{}")
    assert status(bupo)[0]["left"] is None
    (started.folder / "plan.json").unlink()
    assert status(bupo)[0]["left"] is None and "time left" not in bupo("status", "demo")[1]


def test_jobs_of_other_stages_are_counted(tree, bupo, programs):
    """As Slurm's queue has them, by the records of their submission; a second output is no second job."""
    programs(
        squeue="echo '50|42_3|RUNNING||node7'\necho '51|42_4|PENDING||(Resources)'\necho '60|60|RUNNING||node7'"
    )
    place = f"results/demo/evaluation/{BASE}/arithmetic_easy"
    tree.submitted(f"{place}/shard-1-of-2-samples-0-7.parquet", "42_3", begun=True)
    tree.submitted(f"{place}/shard-2-of-2-samples-0-7.parquet", "42_4")
    tree.submitted(f"results/demo/evaluation/{GRPO}/arithmetic_easy/scores.parquet", "60", begun=True)
    tree.mark(f"results/demo/evaluation/{GRPO}/arithmetic_easy/summary.json", {"external_jobid": None})
    tree.submitted(f"results/demo/entropy/{MODEL}/boundary.json", "61")  # gone
    tree.submitted(f"results/other/entropy/{MODEL}/boundary.json", "60")
    tree.mark(f"results/demo/models/{MODEL}/model.json", {"external_jobid": None})
    found, _ = status(bupo)
    assert found["jobs"] == {"running": {"evaluation": 2}, "queued": {"evaluation": 1}}
    assert "other jobs: running evaluation 2; queued evaluation 1" in bupo("status", "demo")[1].splitlines()
    with exclusive(tree.folder / ".lock"):  # Snakemake runs, and this job beside it
        assert status(bupo)[0]["jobs"]["running"] == {"evaluation": 2, "models": 1}


def test_a_training_that_has_begun_is_known_by_the_record_of_its_submission(tree, bupo, programs):
    programs(squeue="echo '50|42_3|RUNNING||node7'")
    tree.submitted(f"results/demo/runs/{GRPO}/done.json", "42_3", begun=True)
    assert status(bupo)[1][GRPO]["note"] == "job 42_3 on node7"


def test_for_people(tree, bupo):
    tree.done(tree.config())
    tree.metrics()
    lines = bupo("status", "demo")[1].splitlines()
    assert lines[0] == "results/demo: 2 runs: 1 done, 1 waiting"
    assert lines[3].split()[:4] == ["run", "state", "step", "reward"]
    assert lines[4].split()[:4] == [GRPO, "done", "12/12", "0.750"]


def test_of_a_large_grid_only_what_asks_for_attention_is_shown(tree, bupo, monkeypatch):
    monkeypatch.setattr("bupo.console.status.SHOWN", 1)
    tree.jobs([call(tree.config(), outcome="failed")])
    said = bupo("status", "demo")[1]
    assert GRPO in said and BUPO not in said and "1 run more" in said
    assert BUPO in bupo("status", "demo", "--all")[1]


def test_an_experiment_that_was_never_run_is_told(tree, bupo):
    with pytest.raises(UserError, match=r"results/other/experiment.yaml: .* results/ has: demo\.$"):
        bupo("status", "other")

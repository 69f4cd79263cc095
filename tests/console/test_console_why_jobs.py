"""How evaluations, analyses and models lead to the jobs that made them, by the logs of those."""

import json
import os
import subprocess
import sys

from small_tree import BASE, BUPO, GRPO, MODEL

from bupo.commit import LINE, commit
from bupo.files import write_text

HOUR = "[spent] 3600.0 s, 7200.0 s of processors, 2 GPUs\n"


def one(bupo, what):
    code, said = bupo("why", what, "--json")
    (facts,) = json.loads(said)
    assert code == 0
    return facts


def shards(tree, run, benchmark, last=HOUR):
    """Logs of three jobs that sampled and one that graded, on GPUs and of the code of another day."""
    name = f"logs/evaluation/{run}/{benchmark}"
    for number in (1, 2, 3):
        told = f"[slurm] job 9{number} on node{number}\n[commit] c0ffee\n{last if number == 3 else HOUR}"
        write_text(tree.folder / name / f"shard-{number}-of-3-samples-0-7.log", told)
    grading = "[slurm] job 94 on node1\n[commit] decade\n[spent] 60.0 s, 60.0 s of processors, 0 GPUs\n"
    write_text(tree.folder / f"{name}.log", grading)


def test_all_jobs_of_an_evaluation_in_parts_are_told(tree, bupo):
    tree.evaluation(BASE)
    shards(tree, BASE, "arithmetic_easy")
    facts = one(bupo, f"results/demo/evaluation/{BASE}/arithmetic_easy/summary.json")["evaluation"]
    assert [job["Slurm job"] for job in facts["jobs"]] == [
        *("91 on node1", "92 on node2", "93 on node3"),
        "94 on node1",
    ]
    assert (facts["commit"], facts["GPU-hours"]) == (["c0ffee", "decade"], 6.0)
    shards(tree, BASE, "arithmetic_easy", last="killed")
    facts = one(bupo, f"results/demo/evaluation/{BASE}/arithmetic_easy/summary.json")["evaluation"]
    assert facts["GPU-hours"] == "4 of 3 jobs, not recorded of 1 job"


def test_a_model_before_training_leads_to_what_evaluated_it(tree, bupo):
    shards(tree, BASE, "arithmetic_hard")
    facts = one(bupo, f"{MODEL}/base")
    assert facts["evaluations"] == [
        {
            **{"run": BASE, "benchmark": "arithmetic_easy", "commit": "not recorded"},
            **{"Slurm jobs": "not recorded", "GPU-hours": "not recorded"},
        },
        {
            **{"run": BASE, "benchmark": "arithmetic_hard", "commit": ["c0ffee", "decade"]},
            **{"Slurm jobs": ["91", "92", "93", "94"], "GPU-hours": 6.0},
        },
    ]
    assert facts["GPU-hours of the evaluations"] == "6 of 1 evaluation, not recorded of 1 evaluation"
    said = bupo("why", f"{MODEL}/base")[1]
    assert "c0ffee; decade  91; 92; 93; 94" in said


def test_uncommitted_changes_are_told_in_a_table_too(tree, bupo):
    log = tree.folder / f"logs/evaluation/{BASE}/arithmetic_hard.log"
    write_text(log, f"[commit] {'c0ffee' * 7} with uncommitted changes\n{HOUR}")
    assert "c0ffeec0ffee + changes" in bupo("why", f"{MODEL}/base")[1]


def test_a_figure_of_scores_leads_to_the_evaluations_behind_it(tree, bupo):
    shards(tree, BASE, "arithmetic_hard")
    figure = tree.folder / f"report/figures/pass-at-k-{MODEL}-arithmetic_hard.svg"
    write_text(figure, "<svg/>")
    facts = one(bupo, figure)
    assert [(row["run"], row["benchmark"]) for row in facts["evaluations"]] == [
        (run, "arithmetic_hard") for run in (BASE, GRPO, BUPO)
    ]
    assert facts["evaluations"][0]["GPU-hours"] == 6.0
    figure = tree.folder / f"report/figures/training-reward-{MODEL}.svg"
    write_text(figure, "<svg/>")
    assert "evaluations" not in one(bupo, figure)


def test_an_analysis_in_parts_and_a_built_model_have_their_jobs(tree, bupo):
    logs = tree.folder / "logs"
    for number in (1, 2):
        told = f"[slurm] job 8{number} on node1\n[commit] c0ffee\n{HOUR}"
        write_text(logs / f"entropy/{MODEL}/shard-{number}-of-2.log", told)
    write_text(
        logs / f"entropy/{MODEL}.log",
        "[slurm] job 83 on node1\n[commit] c0ffee\n[spent] 1.0 s, 1.0 s of processors, 0 GPUs\n",
    )
    write_text(logs / f"models/{MODEL}.log", "[slurm] job 80 on node1\n[commit] c0ffee\n")
    write_text(tree.folder / f"entropy/{MODEL}/boundary.json", "{}")
    facts = one(bupo, f"results/demo/entropy/{MODEL}/boundary.json")
    assert [job["Slurm job"].split()[0] for job in facts["analysis"]["jobs"]] == ["81", "82", "83"]
    assert (facts["analysis"]["commit"], facts["analysis"]["GPU-hours"]) == ("c0ffee", 4.0)
    assert facts["model before training"]["jobs"][0]["Slurm job"] == "80 on node1"


def test_a_stage_tells_its_slurm_job_first_and_its_commit_at_its_end():
    code = "from bupo.errors import run_command; run_command(lambda: None)"

    def said(**variables):
        clean = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env={**clean, **variables}).stderr

    known = commit()
    assert said(SLURM_JOB_ID="7", SLURMD_NODENAME="node3").startswith("[slurm] job 7 on node3\n")
    told = LINE.findall(said())
    assert [line[:40] for line in told] == ([known[:40]] if known else [])
    assert "[slurm]" not in said() and said().splitlines()[-1].startswith("[spent] ")

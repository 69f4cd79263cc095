import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paper_grid import GRID, write_grid
from small_tree import BUPO, GRPO, MODEL

from bupo.errors import UserError
from bupo.files import read_yaml, to_yaml


def plan(bupo, *arguments):
    status, said = bupo("plan", "--json", *arguments)
    assert status == 0
    return json.loads(said)


def rows(found, rule):
    return {row["of"]: row for row in found["rows"] if row["rule"] == rule}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("demo", []),
        ("math_smoke", []),
        ("demo", ["analysis.snapshots=null", "analysis.problems=[arithmetic,arithmetic_hard]"]),
    ],
)
def test_the_jobs_are_those_of_snakemake(root, project, bupo, name, changes):
    """Told by a dry run of the real workflow."""
    for part in ("Snakefile", "rules", "envs", "profiles"):
        (project / part).symlink_to(root / part)
    settings = [f"experiment={name}", f"overrides={json.dumps(changes)}"]
    snakemake = Path(sys.executable).parent / "snakemake"
    dry = subprocess.run(
        [snakemake, "--cores", "1", "--dry-run", "--quiet", "rules", "--config", *settings],
        cwd=project,
        capture_output=True,
        text=True,
    )
    assert dry.returncode == 0, dry.stderr[-2000:]
    table = re.findall(r"^(\w+) +(\d+)$", dry.stdout + dry.stderr, re.MULTILINE)
    expected = {rule: int(count) for rule, count in table if rule not in ("all", "total", "job")}
    found: dict[str, int] = {}
    for row in plan(bupo, name, "--overrides", *changes)["rows"]:
        found[row["rule"]] = found.get(row["rule"], 0) + row["jobs"]
    assert found == expected


def test_the_papers_own_run_costs_what_the_paper_says(project, bupo):
    write_grid(project)
    row = rows(plan(bupo, "grid"), "train")["qwen3_4b grpo"]
    assert (row["jobs"], row["gpus"]) == (2, 8)
    # 13.2 h on 8 A100; the parameters in the file are rounded to four digits
    assert row["seconds"] / 2 / 3600 == pytest.approx(13.2, rel=1e-3)
    assert all(not kind["measured"] and "13.2 h on 8 A100" in kind["basis"] for kind in row["kinds"])


@pytest.mark.parametrize(
    ("override", "each", "gpu_seconds"),
    [
        ("training.steps=150", 0.5, 0.5),
        ("training.overrides=[data.train_batch_size=64]", 0.5, 0.5),
        ("training.overrides=[data.max_response_length=14336]", 2, 2),
        ("training.overrides=[trainer.n_gpus_per_node=4]", 2, 1),
        ("training.overrides=[trainer.nnodes=2]", 0.5, 1),
    ],
)
def test_an_assumed_step_is_scaled(project, bupo, override, each, gpu_seconds):
    write_grid(project)
    one, other = (
        rows(plan(bupo, "grid", "--overrides", "evaluation.settings=paper", *more), "train")["qwen3_4b grpo"]
        for more in ([], [override])
    )
    assert other["seconds"] == pytest.approx(each * one["seconds"])
    assert other["seconds"] * other["gpus"] == pytest.approx(gpu_seconds * one["seconds"] * one["gpus"])


def ask_for(project, small=None, sample=None):
    """Change what small jobs, and those that sample, ask for."""
    path = project / "configs/cluster.yaml"
    values = read_yaml(path)
    values["small"] |= small or {}
    for size in values["sizes"].values():
        size["sample"] |= sample or {}
    path.write_text(to_yaml(values))


@pytest.mark.parametrize(
    ("ranks", "asked", "each", "gpu_seconds"), [(1, 1, 1, 1), (1, 4, 1, 4), (2, 2, 0.5, 1), (2, 8, 0.5, 4)]
)
def test_gpus_are_those_that_the_job_asks_for(project, bupo, ranks, asked, each, gpu_seconds):
    """Sampling takes as long as on the GPUs that vLLM uses, and costs all that the job holds."""
    write_grid(project)
    before = plan(bupo, "grid")
    ask_for(project, sample={"gpus": asked})
    path = project / "configs/evaluation/paper.yaml"
    values = read_yaml(path)
    path.write_text(to_yaml({**values, "vllm": {**values.get("vllm", {}), "tensor_parallel_size": ranks}}))
    found = plan(bupo, "grid")
    first, row = rows(before, "evaluate")["qwen3_4b"], rows(found, "evaluate")["qwen3_4b"]
    assert (first["gpus"], row["gpus"]) == (1, asked)
    assert row["seconds"] == pytest.approx(each * first["seconds"])
    evaluated = sum(row["seconds"] for row in rows(before, "evaluate").values())
    more = found["gpu_seconds"] - before["gpu_seconds"]
    assert more == pytest.approx((gpu_seconds - 1) * evaluated, abs=1)


def test_processors_are_those_that_the_job_asks_for(project, bupo):
    write_grid(project)
    path = project / "configs/evaluation/paper.yaml"
    path.write_text(path.read_text().replace("shards: {problems: 1,", "shards: {problems: 2,"))
    ask_for(project, small={"cpus": 3})
    found = plan(bupo, "grid")
    cores = {row["rule"]: row["kinds"][0]["cores"] for row in found["rows"]}
    assert (cores["grade"], cores["train"], cores["normalise"], cores["report"]) == (3, 64, 1, 1)
    seconds = {row["rule"]: 0.0 for row in found["rows"]}
    for row in found["rows"]:
        seconds[row["rule"]] += 0 if row["gpus"] else row["seconds"]
    assert found["core_seconds"] == pytest.approx(sum(seconds.values()) + 2 * seconds["grade"])
    assert seconds["grade"] > 0


def test_a_larger_model_and_a_critic_cost_more(project, bupo):
    write_grid(project)
    found = rows(plan(bupo, "grid"), "train")
    small, large = (found[f"{model} grpo"]["seconds"] for model in ("qwen3_4b", "qwen3_8b"))
    assert large / small == pytest.approx(8190735360 / 4022468096)
    assert found["qwen3_4b ppo"]["seconds"] == pytest.approx(2 * small)


def test_measured_steps_go_before_assumptions_by_phase(tree, bupo):
    tree.done(tree.config(BUPO), BUPO, wall_s=40.0)
    tree.metrics(BUPO, seconds=2.0, internal_seconds=1.0, first=6.0)
    tree.config(GRPO)
    tree.metrics(GRPO, seconds=3.0)
    found = rows(plan(bupo, "demo", "--overrides", "training.steps=20"), "train")
    grpo, layers = found[f"{MODEL} grpo"], found[f"{MODEL} bupo"]
    assert grpo["seconds"] == pytest.approx(20 * 3.0)
    # Beside its steps the run took 40 - (6 + 3 x 1 + 8 x 2) s; layer 3 (auto) was not measured: a whole step.
    around = 40 - (6 + 3 + 16)
    assert layers["seconds"] == pytest.approx((around + 4 * 1 + 16 * 2) + (around + 20 * 2))
    assert all(kind["measured"] for kind in grpo["kinds"] + layers["kinds"])
    assert layers["kinds"][0]["basis"] == f"steps of results/demo/runs/{BUPO}"


def test_runs_that_did_something_else_in_a_step_are_not_taken(tree, bupo):
    tree.config(GRPO)
    tree.metrics(GRPO, seconds=3.0)
    other = ["training.overrides=[actor_rollout_ref.rollout.n=16]"]
    kind = rows(plan(bupo, "demo", "--overrides", *other), "train")[f"{MODEL} grpo"]["kinds"][0]
    assert (kind["measured"], kind["seconds"], kind["basis"]) == (
        False,
        60,
        "expected_seconds of the experiment",
    )


def test_lengths_of_earlier_responses_are_taken(project, bupo):
    write_grid(project)

    def seconds():
        return rows(plan(bupo, "grid"), "evaluate")["qwen3_4b"]["kinds"][0]

    longest = seconds()
    assert longest["basis"].endswith("responses as long as they may be")
    summary = project / "results/old/evaluation/qwen3_4b/grpo/seed1/aime24/summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text('{"mean_tokens": 3584}')
    measured = seconds()
    assert measured["seconds"] == pytest.approx(longest["seconds"] / 2)
    assert measured["basis"].endswith("as long as in earlier evaluations")


def test_what_is_done_is_counted_and_not_left(tree, bupo):
    tree.done(tree.config())
    tree.evaluation()
    found = plan(bupo, "demo")
    assert rows(found, "train")[f"{MODEL} grpo"]["done"] == 1
    assert rows(found, "evaluate")[MODEL]["done"] == 1
    assert found["done"] == 3  # its configuration too
    gone = found["core_seconds"] - found["core_seconds_left"]
    assert gone == pytest.approx(60 + 9 + 1)


def test_an_unknown_time_is_no_number(project, bupo):
    write_grid(project)
    path = project / "configs/costs.yaml"
    path.write_text(path.read_text().replace("  qwen3_8b: 8190735360\n", ""))
    found = plan(bupo, "grid")
    row = rows(found, "train")["qwen3_8b grpo"]
    assert row["seconds"] is None and "tell of qwen3_8b" in row["kinds"][0]["basis"]
    assert found["jobs_of_unknown_time"] == 2 + 3  # trainings, evaluations
    assert found["bytes"]["models_of_unknown_size"] == ["qwen3_8b"]
    said = bupo("plan", "grid")[1]
    assert "GPU-hours   at least " in said
    assert "not known   the time of 5 jobs, which is in no number above" in said


def test_bytes(project, bupo):
    write_grid(project)
    found = plan(bupo, "grid", "--gpus", "16", "--overrides", "analysis.snapshots=100")["bytes"]
    four, eight = 4022468096, 8190735360
    # bfloat16: steps 100, 200 and the last one; metrics of 4 kB a step
    assert found["kept"]["runs"] == pytest.approx(2 * 3 * (4 * four + 2 * eight) + 6 * 300 * 4000)
    # 3 models, 30 problems, 32 samples of 7168 tokens at most, for each run and each base
    assert found["kept"]["evaluation"] == (6 + 2) * 30 * 32 * (7168 * 4 + 20)
    # two trainings at a time: float32 weights and Adam's moments, two kept and one written, a critic on 4B alone
    assert found["checkpoints"] == 2 * 12 * 3 * max(2 * four, eight)
    assert found["hub_cache"] == 2 * (four + eight)


def test_the_longest_path_bounds_the_time(project, bupo):
    write_grid(project)
    found = plan(bupo, "grid", "--gpus", "8")
    gpu_seconds = sum(row["seconds"] * row["gpus"] for row in found["rows"] if row["gpus"])
    assert found["gpu_seconds"] == pytest.approx(gpu_seconds)
    assert found["seconds"] == pytest.approx(gpu_seconds / 8)
    many = plan(bupo, "grid", "--gpus", "8000")
    longest = max(kind["seconds"] for row in many["rows"] if row["rule"] == "train" for kind in row["kinds"])
    assert many["seconds"] == many["seconds_at_least"] > longest


def test_a_disk_needs_room_for_what_is_not_trained_yet(tree, bupo):
    from argparse import Namespace

    from bupo.console.plan import estimated

    arguments = Namespace(configs=tree.root / "configs", experiment="demo", cores=2)
    whole = estimated(arguments)
    assert whole.bytes_left == sum(whole.disk.kept.values()) + whole.checkpoints
    tree.done(tree.config())
    rest = estimated(arguments)
    assert rest.bytes_left == pytest.approx(2 / 3 * sum(rest.disk.kept.values()) + rest.checkpoints)


def test_ten_thousand_cells(project, bupo):
    axes = f"layer: {list(range(1, 6))}, iterative_steps: [1, 2], seed: {list(range(1, 1001))}"
    found = plan(bupo, "demo", "--overrides", f"grid=[{{method: bupo, {axes}}}]", "analysis.snapshots=null")
    counts = {row["rule"]: row["jobs"] for row in found["rows"]}
    assert (counts["train"], counts["configure"], counts["evaluate"]) == (10_000, 10_000, 2 * 10_001)
    assert rows(found, "train")[f"{MODEL} bupo"]["seconds"] == 60 * 10_000


def test_nothing_is_written(tree, bupo):
    before = {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")}
    bupo("plan", "demo")
    assert {path: path.stat().st_mtime_ns for path in tree.root.rglob("*")} == before


def test_many_cells_are_listed_only_if_asked_for(project, bupo):
    seeds = f"grid=[{{method: grpo, seed: {list(range(1, 41))}}}]"
    said = bupo("plan", "demo", "--overrides", seeds)[1]
    assert said.startswith("demo: 40 cells of 12 steps") and "grpo/seed40" not in said
    assert "grpo/seed40" in bupo("plan", "demo", "--cells", "--overrides", seeds)[1]


def test_a_mistake_in_the_assumptions_is_told(project, bupo):
    path = project / "configs/costs.yaml"
    path.write_text(path.read_text().replace("seconds: 158.4", "seconds: 0"))
    with pytest.raises(UserError, match=r"costs.yaml: step.0.seconds = 0: input should be greater than 0\.$"):
        bupo("plan", "demo")


def test_every_model_of_the_project_has_a_time(project, bupo):
    known = sorted(path.stem for path in (project / "configs/model").glob("*.yaml"))
    write_grid(project, GRID.replace("[qwen3_4b, qwen3_8b]", f"[{', '.join(known)}]"))
    # no longer than what each of them holds
    path = project / "configs/evaluation/paper.yaml"
    path.write_text(path.read_text().replace("max_new_tokens: 7168", "max_new_tokens: 3072"))
    found = plan(bupo, "grid", "--overrides", "models.analyse=[]")
    tiny = {name for name in known if name.startswith("tiny")}
    unknown = {row["of"].split()[0] for row in found["rows"] if row["seconds"] is None}
    assert unknown == set() and tiny < set(known)

"""Checks of Slurm: whether it answers, and whether it would take the jobs that an experiment submits."""

import math
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bupo.console.ask import Failed, ask
from bupo.console.check import Check, failed, not_applicable, ok
from bupo.console.nodes import Lack, Need, Nodes, lacking, read_nodes
from bupo.console.shared import several
from bupo.console.slurm import limits_in, read_queue, time_limit
from bupo.experiment.plan import Plan
from bupo.experiment.resources import KINDS

COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")
AT_A_TIME = 8
"""Jobs that sbatch is asked about side by side."""
OPTIONS = {
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "qos": "--qos",
    "constraint": "--constraint",
    "runtime": "--time",
    "mem_mb": "--mem",
    "nodes": "--nodes",
    "tasks": "--ntasks",
    "cpus_per_task": "--cpus-per-task",
    "gres": "--gres",
}
"""What sbatch calls the resources that `bupo.experiment.resources.Resources.of` gives to Snakemake."""
REMEDIES = {
    "account": "set account in configs/cluster.yaml; sacctmgr show associations user=$USER shows yours",
    "qos": "set qos in configs/cluster.yaml; sacctmgr show associations user=$USER shows yours",
    "feature": 'set constraint in configs/cluster.yaml; sinfo -o "%P %f" shows what nodes have',
    "option": "mend the options of partitions in configs/cluster.yaml; man sbatch has all",
}
"""By a word of Slurm's refusal."""
OTHERWISE = "sinfo -R shows nodes that are down or drained; else ask who runs the cluster"


def slurm(until: float = math.inf) -> tuple[list[Check], list[Nodes]]:
    """Slurm's commands, partitions and queue; and its nodes, none where it is not there or does not answer.

    Args:
        until: not waited for longer, see `ask`.
    """
    if shutil.which("sbatch") is None:
        return [not_applicable("Slurm", "no sbatch here; jobs run on this machine")], []
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    if missing:
        found = f"sbatch is here, but not {', '.join(missing)}"
        return [failed("Slurm", found, "put the folder of Slurm's commands on PATH")], []
    nodes = read_nodes(until)
    if isinstance(nodes, Failed):
        return [failed("Slurm", nodes.why, "ask whether slurmctld runs: scontrol ping")], []
    up = [each for each in nodes if each.up]
    if not up:
        return [failed("Slurm", "no partition is up", "ask who runs the cluster: sinfo shows why")], []
    checks = [ok("Slurm", f"partitions that are up (* is the default): {'; '.join(map(str, up))}")]
    queue = read_queue(until)
    if queue.problem:
        checks.append(failed("Slurm's queue", queue.problem, "ask whether slurmctld runs: scontrol ping"))
    else:
        own = len({job.job_id for job in queue.jobs.values()})
        checks.append(ok("Slurm's queue", f"{several(own, 'job')} of yours"))
    return checks, nodes


def submitted(plan: Plan) -> list[tuple[str, str]]:
    """The jobs of an experiment that are submitted, as rules (keys of `KINDS`) and models."""
    experiment = plan.experiment
    # others are looked up where Snakemake runs
    found = [("model", name) for name, model in plan.models.items() if model.built]
    analysis = ("entropy",) if plan.shards == 1 else ("entropy_shard", "entropy_merge")
    found += [(rule, name) for name in experiment.models.analyse for rule in analysis]
    found += [("train", name) for name in dict.fromkeys(cell.model for cell in plan.cells)]
    if experiment.analysis.snapshots:
        found += [("flow", name) for name in experiment.models.train]
    if plan.benchmarks:
        evaluation = ("sample", "grade") if plan.sampled_in_parts else ("evaluate",)
        found += [(rule, name) for name in experiment.models.train for rule in evaluation]
    return found


def hours(plan: Plan, nodes: Sequence[Nodes]) -> list[Check]:
    """Whether Slurm's partitions allow the hours that jobs ask for at first; nothing without nodes."""
    if not nodes:
        return []  # `slurm` tells of it
    resources, limits = plan.resources, _limits(nodes)

    def most(partition: str | None) -> float:
        return time_limit(limits, partition) / 60

    above: dict[tuple[str, str | None], list[str]] = {}
    for rule, model in submitted(plan):
        job, asked = resources.job(rule, model), resources.of(rule, model)
        key, name = resources.cluster.key(job), resources.cluster.partition(job).name
        wanted = int(asked["runtime"]) / 60
        if wanted > most(name):
            above.setdefault((key, name), []).append(f"{rule} of {model} {wanted:g}")
    checks = [
        failed(
            "Slurm's time limits",
            f"partition {name or '* (the default)'} allows {most(name):g} hours, "
            f"and more are asked for: {', '.join(listed)}",
            f"set partitions.{key}.max_hours in configs/cluster.yaml to {most(name):g}, "
            f"or partitions.{key}.name to one that allows more",
        )
        for (key, name), listed in above.items()
    ]
    return checks or [ok("Slurm's time limits", "allow the hours that the jobs ask for")]


def jobs(plan: Plan, nodes: Sequence[Nodes], until: float = math.inf) -> list[Check]:
    """Whether Slurm would take each kind of job of an experiment: asked of sbatch itself, which submits none.

    Args:
        plan: the experiment.
        nodes: that Slurm has; nothing is asked without them.
        until: not waited for longer, see `ask`.
    """
    if not nodes:
        return []
    limits, kinds = _limits(nodes), dict[tuple[str, ...], list[tuple[str, str]]]()
    for rule, model in submitted(plan):
        kinds.setdefault(tuple(words(plan.resources.of(rule, model), limits)), []).append((rule, model))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        asked = {
            kind: pool.submit(ask, ["sbatch", "--test-only", *kind, "--wrap=true"], until=until)
            for kind in kinds
        }
    answers = {kind: answer.result() for kind, answer in asked.items()}
    checks = list(_refused(plan, kinds, answers, nodes))
    taken = sum(isinstance(answer, str) for answer in answers.values())
    if taken:
        shown = f"sbatch --test-only takes {taken} of {several(len(kinds), 'kind')} of jobs"
        checks.insert(0, ok("Slurm's jobs", shown))
    return checks


def words(asked: Mapping[str, int | str], limits: Mapping[str, float] | None = None) -> list[str]:
    """Words of sbatch for a job, as Snakemake's executor writes them.

    Args:
        asked: its resources.
        limits: of time, see `bupo.console.slurm.time_limits`; no job is submitted with more than they allow.
    """
    asked = dict(asked)
    if limits is not None:
        partition = str(asked["slurm_partition"]) if "slurm_partition" in asked else None
        asked["runtime"] = max(1, int(min(float(asked["runtime"]), time_limit(limits, partition))))
    if "gres" not in asked:
        asked.setdefault("tasks", 1)
    named = [f"{option}={asked[key]}" for key, option in OPTIONS.items() if key in asked]
    return [*named, *shlex.split(str(asked.get("slurm_extra", "")))]


def _refused(
    plan: Plan,
    kinds: Mapping[tuple[str, ...], Sequence[tuple[str, str]]],
    answers: Mapping[tuple[str, ...], str | Failed],
    nodes: Sequence[Nodes],
) -> Iterator[Check]:
    silent: list[str] = []
    for kind, of in kinds.items():
        answer, (rule, model) = answers[kind], of[0]
        if isinstance(answer, str):
            continue
        need = _need(plan, rule, model)
        named = ", ".join(f"{rule} of {model}" for rule, model in of)
        lack = lacking(need, nodes)
        if lack is None and answer.refusal is None:
            silent.append(answer.why)
            continue
        said = "" if answer.refusal is None else f"Slurm refuses it ({_last(answer.refusal)})"
        what = ": ".join(filter(None, [said, lack.what if lack else ""]))
        remedy = _remedy(plan, rule, model, lack) if lack else _of_words(answer.refusal or "")
        yield failed("Slurm's jobs", f"{named} {'need' if len(of) > 1 else 'needs'} {need}; {what}", remedy)
    if silent:
        yield failed("Slurm's jobs", silent[0], "ask whether slurmctld runs: scontrol ping")


def _need(plan: Plan, rule: str, model: str) -> Need:
    job, asked = plan.resources.job(rule, model), plan.resources.of(rule, model)
    where = plan.resources.cluster.partition(job)
    kind = where.gpu if job.gpus else None
    return Need(where.name, job.nodes, job.gpus, kind, job.cpus, float(asked["mem_mb"]))


def _remedy(plan: Plan, rule: str, model: str, lack: Lack) -> str:
    partition, kind = f"partitions.{plan.resources.cluster.key(plan.resources.job(rule, model))}", KINDS[rule]
    if not lack.right:
        return "lower what the job asks for in configs/cluster.yaml: no partition has such nodes (sinfo)"
    if lack.key in ("name", "gpu"):
        return f"set {partition}.{lack.key} in configs/cluster.yaml to {lack.right}"
    size = f"sizes.{plan.models[model].size}.{kind}" if kind else "small"
    other = f", or {partition}.name to {' or '.join(lack.elsewhere)}" if lack.elsewhere else ""
    return f"set {size}.{lack.key} in configs/cluster.yaml to {lack.right}{other}"


def _last(refusal: str) -> str:
    """The line that says why."""
    lines = [line for line in refusal.splitlines() if line.strip() and not line.startswith("Try ")]
    return lines[-1].removeprefix("allocation failure: ").strip() if lines else "it does not say why"


def _of_words(refusal: str) -> str:
    return next((remedy for word, remedy in REMEDIES.items() if word in refusal.lower()), OTHERWISE)


def _limits(nodes: Sequence[Nodes]) -> dict[str, float]:
    return limits_in((each.partition + "*" * each.default, each.limit) for each in nodes)

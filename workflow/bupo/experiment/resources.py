"""What a job asks the cluster for (configs/cluster.yaml): by its rule, its model's size and its attempt."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bupo.errors import UserError
from bupo.experiment.cluster import FILE, Cluster, Job, Size, load_cluster
from bupo.models.config import ModelConfig

GROWTH = 1.5
"""How much more memory and time a job asks for after each failure."""
KINDS: dict[str, Literal["model", "entropy", "train", "sample"] | None] = {
    "model": "model",
    "entropy": "entropy",
    "entropy_shard": "entropy",
    "entropy_merge": None,
    "flow": "entropy",
    "train": "train",
    "evaluate": "sample",
    "sample": "sample",
    "grade": None,
}
"""The kind of each rule's jobs; None for those that load no model."""
_OVERRIDE = re.compile(r"\+{0,2}trainer\.(nnodes|n_gpus_per_node)=(\d+)")


@dataclass(frozen=True)
class Resources:
    """What the jobs of one experiment ask for.

    Attributes:
        cluster: the cluster's description.
        sizes: the jobs of each model, by its name; a training's are those of the experiment's engine.
        overrides: for each model Hydra overrides that train it on what its job asks for; empty without GPUs.
    """

    cluster: Cluster
    sizes: Mapping[str, Size]
    overrides: Mapping[str, Sequence[str]]

    def job(self, rule: str, model: str | None) -> Job:
        """A job as the file describes it.

        Args:
            rule: a key of `KINDS`.
            model: that the job is about.
        """
        kind = KINDS[rule]
        return getattr(self.sizes[model], kind) if kind and model else self.cluster.small

    def of(self, rule: str, model: str | None, attempt: int = 1) -> dict[str, int | str]:
        """The resources of a job, by Snakemake's names; what is not there is left to the cluster.

        Args:
            rule: a key of `KINDS`.
            model: that the job is about.
            attempt: 1, and one more after each failure.
        """
        job = self.job(rule, model)
        where = self.cluster.partition(job)
        found: dict[str, int | str] = {
            "mem_mb": round(1024 * _grown(job.mem_gb, where.max_mem_gb, attempt)),
            "runtime": max(1, round(60 * _grown(job.hours, where.max_hours, attempt))),
            "cpus_per_task": job.cpus,
        }
        if job.gpus:
            found["gres"] = ":".join(["gpu", *([where.gpu] if where.gpu else []), str(job.gpus)])
        if job.nodes > 1:
            found["nodes"] = job.nodes
            if not job.gpus:  # beside GPUs the executor takes it for tasks of each GPU
                found["tasks"] = job.nodes
        options = " ".join(filter(None, [*_options(rule, job), where.options]))
        named = {
            "slurm_partition": where.name,
            "slurm_account": job.account or self.cluster.account,
            "qos": job.qos or where.qos,
            "constraint": where.constraint,
            "slurm_extra": options,
        }
        return found | {key: value for key, value in named.items() if value}

    def by_job(self, rule: str) -> dict[str, int | str | Callable[..., int | str | None]]:
        """The resources of a rule, for Snakemake: values, or functions of the wildcards and the attempt.

        Values where all jobs of the rule have the same: a function is called for each of ten thousand jobs.
        """
        models = list(self.sizes) if KINDS[rule] else [None]
        first = [self.of(rule, model) for model in models]
        again = [self.of(rule, model, attempt=2) for model in models]
        rows = first + again

        def of_job(key: str) -> Callable[..., int | str | None]:
            return lambda wildcards, attempt: self.of(rule, wildcards.model, attempt).get(key)

        keys = dict.fromkeys(key for row in rows for key in row)
        same = {key: rows[0].get(key) for key in keys if len({row.get(key) for row in rows}) == 1}
        return {key: value if (value := same.get(key)) is not None else of_job(key) for key in keys}


def resources_of(
    configs: Path,
    models: Mapping[str, ModelConfig],
    engine: Mapping[str, Any],
    overrides: Sequence[str],
    ranks: Mapping[str, int],
) -> Resources:
    """What the jobs of an experiment ask for.

    Args:
        configs: the project's ``configs/`` folder.
        models: every model of the experiment, by name.
        engine: the values of the experiment's engine.
        overrides: Hydra overrides of every cell; a number of nodes or GPUs there counts before the file's.
        ranks: for kinds of jobs the GPUs that vLLM spreads a model over.

    Raises:
        UserError: a mistake in the file, a model without a size, fewer GPUs than a job needs.
    """
    cluster = load_cluster(configs)
    given = {match[1]: int(match[2]) for text in overrides if (match := _OVERRIDE.fullmatch(text))}
    trainer = engine.get("trainer", {})
    on_gpus = trainer.get("device", "cpu") != "cpu"
    sizes, added = {}, {}
    for name, model in models.items():
        size = cluster.sizes[_size(name, model, cluster, configs)]
        nodes = given.get("nnodes", size.train.nodes if on_gpus else int(trainer.get("nnodes", 1)))
        gpus = given.get("n_gpus_per_node", size.train.gpus) if on_gpus else 0
        if on_gpus and not gpus:
            raise UserError(
                f"{configs / FILE}: sizes.{model.size}.train.gpus = {gpus} should be at least 1 for {name}; "
                "the experiment's engine trains on GPUs."
            )
        for kind, least in ranks.items():
            if 0 < (asked := getattr(size, kind).gpus) < least:
                raise UserError(
                    f"{configs / FILE}: sizes.{model.size}.{kind}.gpus = {asked} should be at least {least}, "
                    f"over which vllm.tensor_parallel_size spreads {name}."
                )
        train = size.train.model_copy(update={"nodes": nodes, "gpus": gpus})
        sizes[name] = size.model_copy(update={"train": train})
        added[name] = [f"trainer.nnodes={nodes}", f"trainer.n_gpus_per_node={gpus}"] if on_gpus else []
    return Resources(cluster, sizes, added)


def _size(name: str, model: ModelConfig, cluster: Cluster, configs: Path) -> str:
    known = ", ".join(cluster.sizes)
    where = configs / "model" / f"{name}.yaml"
    if model.size is None:
        raise UserError(
            f"{where}: size is missing; it should be one of the sizes in {configs / FILE}: {known}."
        )
    if model.size not in cluster.sizes:
        raise UserError(f"{where}: size = {model.size!r} is not in {configs / FILE}; it has: {known}.")
    return model.size


def _grown(amount: float, most: float | None, attempt: int) -> float:
    grown = amount * GROWTH ** (attempt - 1)
    return grown if most is None else min(grown, most)


def _options(rule: str, job: Job) -> list[str]:
    # a job that Slurm starts again goes on in the log that it has
    log = ["--open-mode=append"] if rule == "train" else []
    return [*log, "--ntasks-per-node=1"] if job.nodes > 1 else log

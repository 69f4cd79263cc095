"""Checks of what an experiment reads: its models and its problem sets."""

import json
import math
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bupo.console.ask import Failed, ask
from bupo.console.check import Check, failed, not_applicable, not_checked, ok
from bupo.data.config import DataSet
from bupo.data.web import cached as cached_file
from bupo.experiment.plan import Plan
from bupo.models.config import ModelConfig

NETWORK_S = 20
COMMIT = re.compile(r"[0-9a-f]{40}")
LOOK_UP = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import HfApi

def look_up(repo):
    try:
        HfApi().repo_info(repo[0], revision=repo[1], repo_type=repo[2], timeout=10)
    except Exception as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]

with ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(look_up, json.loads(sys.argv[1])))))
"""
"""Program that prints for each of several repositories what is wrong with it, null for nothing."""


@dataclass(frozen=True)
class Repository:
    """A repository of the Hugging Face hub at a revision.

    Attributes:
        named: what needs it, for people.
        files: pattern of the files that have to be there.
    """

    named: str
    repo: str
    revision: str
    kind: Literal["model", "dataset"]
    files: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.repo} at {self.revision[:12]}"


def inputs(plan: Plan, network: bool, until: float = math.inf) -> list[Check]:
    """A check for each model and each set of an experiment.

    Args:
        plan: the experiment.
        network: whether the hub may be asked for what is not in its cache.
        until: it is not waited for longer, see `ask`.
    """
    found = [model(name, config) for name, config in plan.models.items()]
    found += [data_set(plan, data) for data in plan.data_sets.values()]
    asked = [item for item in found if isinstance(item, Repository)]
    told = asked_hub(asked, until) if network else map(_unasked, asked)
    answers = dict(zip(asked, told, strict=True))
    return [answers[item] if isinstance(item, Repository) else item for item in found]


def model(name: str, config: ModelConfig) -> Check | Repository:
    """Whether a model is there; a repository that only the hub can tell of.

    Args:
        name: of the entry in configs/model/.
        config: the entry.
    """
    named = f"model {name}"
    if config.built:
        return not_applicable(named, "is built here")
    if config.local:
        folder = Path(config.local.path)
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return ok(named, f"{folder} has its weights")
        return failed(
            named,
            f"{folder} has no config.json with *.safetensors",
            f"set local.path in configs/model/{name}.yaml to a folder that save_pretrained wrote",
        )
    assert config.hub is not None
    return _in_cache(Repository(named, config.hub.repo, config.hub.revision, "model", "*.safetensors"))


def data_set(plan: Plan, data: DataSet) -> Check | Repository:
    """Whether the source of a problem set is there; a repository that only the hub can tell of."""
    named, directory = f"data {data.name}", plan.experiment.data.directory
    try:
        source = data.kind(plan.experiment.data.source)
    except ValueError as error:
        return failed(named, str(error), "change data.source, or leave the set out")
    if source == "generated":
        return not_applicable(named, "is generated here")
    if source == "local":
        assert data.local is not None
        paths = [Path(directory or ".") / path for path in data.local.path]
        missing = [path for path in paths if not path.exists()]
        if missing:
            remedy = "set data.directory to the folder with the local sets, or data.source=hub"
            return failed(named, f"{missing[0]} is not there", remedy)
        return ok(named, f"{', '.join(map(str, paths))}")
    if source == "web":
        assert data.web is not None
        if cached_file(data.web).is_file():
            return ok(named, f"{data.web.url} is in the cache")
        return not_checked(named, f"{data.web.url} is not in the cache", "it is downloaded when it is needed")
    assert data.hub is not None
    if Path(data.hub.dataset).is_dir():
        return ok(named, f"{data.hub.dataset} is a folder here")
    return _in_cache(Repository(named, data.hub.dataset, data.hub.revision, "dataset", "*"))


def asked_hub(repositories: Sequence[Repository], until: float = math.inf) -> list[Check]:
    """What the hub says, until a moment at most, of repositories that are not in its cache."""
    if not repositories:
        return []
    wanted = [[item.repo, item.revision, item.kind] for item in repositories]
    told = ask([sys.executable, "-c", LOOK_UP, json.dumps(wanted)], NETWORK_S, until=until)
    reasons = [told.why] * len(wanted) if isinstance(told, Failed) else json.loads(told.splitlines()[-1])
    checks = []
    for item, reason in zip(repositories, reasons, strict=True):
        if reason is None:
            checks.append(ok(item.named, f"the hub has {item}; it will be downloaded"))
            continue
        other = "a local folder (local.path)" if item.kind == "model" else "data.source=local"
        remedy = f"look at the network, HF_ENDPOINT and HF_TOKEN, or use {other}"
        found = f"{item} is not in the hub's cache, and the hub does not give it: {reason[:200].rstrip('.')}"
        checks.append(failed(item.named, found, remedy))
    return checks


def _unasked(item: Repository) -> Check:
    remedy = "bupo doctor --network asks the hub whether it has it"
    return not_checked(item.named, f"{item} is not in the hub's cache", remedy)


def _in_cache(item: Repository) -> Check | Repository:
    return ok(item.named, f"{item} is in the hub's cache") if cached(item) else item


def cached(item: Repository) -> bool:
    """Whether the hub's cache has files of a repository at a revision, without asking anybody."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folder = cache / f"{item.kind}s--{item.repo.replace('/', '--')}"
    reference = folder / "refs" / item.revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else item.revision
    there = (folder / "snapshots" / commit).rglob(item.files)
    return bool(COMMIT.fullmatch(commit)) and any(path.is_file() for path in there)

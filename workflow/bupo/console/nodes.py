"""The nodes that Slurm has, by partition, and which of them are large enough for a job."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bupo.console.ask import Failed, ask
from bupo.console.shared import several

FIELDS = "%P|%a|%D|%l|%G|%c|%m"
_GPU = re.compile(r"gpu(?::([^:(,]+))?:(\d+)")


@dataclass(frozen=True)
class Nodes:
    """Nodes of one partition that are alike.

    Attributes:
        partition: its name; ``default`` is where jobs go that name none.
        up: whether the partition takes jobs to be run.
        limit: how long a job may take, as Slurm writes it.
        gpus: of each node, by kind; ``""`` where Slurm knows no kinds.
        cpus, mem_mb: of each node.
    """

    partition: str
    default: bool
    up: bool
    count: int
    limit: str
    gpus: Mapping[str, int]
    cpus: float
    mem_mb: float

    def __str__(self) -> str:
        """For people."""
        gpus = (f" gpu:{kind + ':' if kind else ''}{count}" for kind, count in self.gpus.items())
        star = "*" if self.default else ""
        return f"{self.partition}{star} {several(self.count, 'node')} {self.limit}{''.join(gpus)}"

    def gpus_of(self, kind: str | None) -> int:
        """GPUs of each node, of one kind or of any."""
        return sum(count for name, count in self.gpus.items() if kind in (None, name))


def read_nodes(until: float = math.inf) -> list[Nodes] | Failed:
    """The nodes of all partitions, from ``sinfo``; not waited for longer than ``until``, see `ask`."""
    listed = ask(["sinfo", "--exact", "--noheader", f"--format={FIELDS}"], until=until)
    if isinstance(listed, Failed):
        return listed
    return [_nodes(line.strip().split("|")) for line in listed.splitlines() if line.strip()]


def _nodes(fields: Sequence[str]) -> Nodes:
    name, state, count, limit, gres, cpus, memory = [*fields, *[""] * 7][:7]
    gpus: dict[str, int] = {}
    for kind, number in _GPU.findall(gres):
        gpus[kind] = gpus.get(kind, 0) + int(number)
    return Nodes(
        partition=name.removesuffix("*"),
        default=name.endswith("*"),
        up=state == "up",
        count=int(count) if count.isdigit() else 1,
        limit=limit,
        gpus=gpus,
        cpus=_number(cpus),
        mem_mb=_number(memory),
    )


def _number(text: str) -> float:
    """A number; infinite where Slurm does not tell it."""
    found = re.match(r"\d+", text)
    return float(found[0]) if found else math.inf


@dataclass(frozen=True)
class Need:
    """What a job needs of each of its nodes.

    Attributes:
        partition: sbatch's ``--partition``, where several may be named; None: the default one.
        kind: of the GPUs; None for any.
    """

    partition: str | None
    nodes: int
    gpus: int
    kind: str | None
    cpus: int
    mem_mb: float

    def __str__(self) -> str:
        """For people."""
        gpus = f"{several(self.gpus, 'GPU')}, " if self.gpus else ""
        each = f" on each of {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{gpus}{several(self.cpus, 'processor')} and {self.mem_mb / 1024:g} GB{each}"


@dataclass(frozen=True)
class Lack:
    """Why no node will do.

    Attributes:
        what: in one sentence.
        key: of configs/cluster.yaml: ``name`` or ``gpu`` of a partition, or one of a job's.
        right: what would be right there; empty for a name that there is none for.
        elsewhere: partitions with nodes that are large enough.
    """

    what: str
    key: str
    right: str
    elsewhere: tuple[str, ...]


def lacking(need: Need, nodes: Sequence[Nodes]) -> Lack | None:
    """What the partition that a job goes to lacks; None where it has nodes that are large enough."""
    names = need.partition.split(",") if need.partition else [n.partition for n in nodes if n.default][:1]
    there = [each for each in nodes if each.partition in names]
    named = f"partition {need.partition}" if need.partition else f"the default partition {' '.join(names)}"
    others = tuple(dict.fromkeys(each.partition for each in nodes if _fits(need, each) and each.up))
    elsewhere = " or ".join(others)
    if not there:
        what = f"there is no {named}" if names else "there is no default partition"
        return Lack(what, "name", elsewhere, others)
    if not any(each.up for each in there):
        return Lack(f"{named} is not up", "name", elsewhere, others)
    kinds = {kind for each in there for kind in each.gpus}
    if need.gpus and need.kind and kinds and need.kind not in kinds:
        shown = " or ".join(sorted(kinds - {""})) or "null"
        return Lack(f"{named} has no GPUs of the kind {need.kind}", "gpu", shown, others)
    most: tuple[tuple[str, str, float, Callable[[Nodes], float]], ...] = (
        ("gpus", "GPUs", need.gpus, lambda each: each.gpus_of(need.kind)),
        ("cpus", "processors", need.cpus, lambda each: each.cpus),
        ("mem_gb", "GB of memory", math.ceil(need.mem_mb / 1024), lambda each: each.mem_mb // 1024),
    )
    fitting = there
    for key, unit, wanted, of in most:
        largest = max(of(each) for each in fitting)
        if largest < wanted and not largest and key == "gpus":
            return Lack(f"no node of {named} has a GPU", "name", elsewhere, others)
        if largest < wanted:
            beside = " that has as many GPUs" if need.gpus and key != "gpus" else ""
            what = f"a node of {named}{beside} has at most {largest:g} {unit}"
            return Lack(what, key, f"at most {largest:g}", others)
        fitting = [each for each in fitting if of(each) >= wanted]
    if (count := sum(each.count for each in fitting)) < need.nodes:
        return Lack(f"{named} has {count} such nodes", "nodes", f"at most {count}", ())
    return None


def _fits(need: Need, each: Nodes) -> bool:
    return each.gpus_of(need.kind) >= need.gpus and each.cpus >= need.cpus and each.mem_mb >= need.mem_mb

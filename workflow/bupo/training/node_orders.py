"""What the training process and the nodes of its Ray say to each other, a line of JSON each."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

MARK = "bupo-ray-node:"
"""What this process tells begins so on stdout, where a login may print a banner."""
PASSED_ON = ("BUPO_", "HF_", "LD_LIBRARY_PATH", "NCCL_", "OMP_", "PYTHON", "TORCH", "VERL_", "VLLM_")
"""Variables that begin so reach the other nodes too, whatever starts the processes there."""


@dataclass(frozen=True)
class Orders:
    """What a node is told.

    Attributes:
        node: its name among the nodes.
        towards: name of another node, to which the interface is looked for.
        gcs: address and port of Ray's head; None makes this node the head.
        token: the password of this Ray.
        out: the run's folder, which every node has to see.
        cwd: working directory of the training process.
        device: ``cpu`` or ``cuda``.
        interface: name of the network interface; None looks for one.
        resources: options of ``ray start``, such as ``num_gpus``.
        environment: variables of the training process that begin as `PASSED_ON`.
    """

    node: str
    towards: str
    gcs: str | None
    token: str
    out: str
    cwd: str
    device: str
    interface: str | None
    resources: dict[str, int]
    environment: dict[str, str]

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Orders":
        """What `to_line` wrote."""
        return cls(**json.loads(line))


def passed_on(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of the training process's variables that the other nodes get."""
    return {name: value for name, value in variables.items() if name.startswith(PASSED_ON)}


def tell(**what: str) -> None:
    """Say something to the training process."""
    with suppress(BrokenPipeError):
        print(MARK, json.dumps(what), flush=True)


def told(line: str) -> dict[str, str]:
    """What a line of a node's output tells; nothing if it is somebody else's."""
    return dict(json.loads(line.removeprefix(MARK))) if line.startswith(MARK) else {}

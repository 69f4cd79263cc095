"""Addresses and ports of this machine: where the parts of a run on several nodes find each other."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from bupo.errors import UserError

FIRST_PORT, LAST_PORT = 10240, 32767
"""Below the ports that Linux gives to connections by itself."""
BLOCK = 1024
FIXED = (
    "gcs",
    "node_manager",
    "object_manager",
    "runtime_env_agent",
    "agent",
    "agent_grpc",
    "metrics",
    "dashboard_metrics",
)
"""Ray's ports that have to be known or would be the same for everybody, in their order in a block."""


@dataclass(frozen=True)
class Ports:
    """A block of ports on this machine that belongs to one node of one run."""

    first: int

    def of(self, name: str) -> int:
        """The port of one of `FIXED`."""
        return self.first + 1 + FIXED.index(name)

    @property
    def workers(self) -> tuple[int, int]:
        """First and last port for Ray's worker processes; Ray skips those that are taken."""
        return self.first + 1 + len(FIXED), self.first + BLOCK - 1


@contextmanager
def claimed_ports() -> Iterator[Ports]:
    """A block of ports that no other run on this machine has, whoever's it is.

    Its first port is bound as long as the block is in use, which is the claim: of two runs that look at the
    same moment only one gets it. Users start to look at different blocks.

    Raises:
        UserError: there is no free block.
    """
    count = (LAST_PORT + 1 - FIRST_PORT) // BLOCK
    for number in range(count):
        first = FIRST_PORT + BLOCK * ((os.getuid() + number) % count)
        with ExitStack() as stack:
            claim = stack.enter_context(socket.socket())
            if _bound(claim, first) and all(_free(first + 1 + i) for i in range(len(FIXED))):
                yield Ports(first)
                return
    raise UserError(
        f"{socket.gethostname()} has no free block of {BLOCK} ports from {FIRST_PORT} to {LAST_PORT}, "
        "one of which Ray needs."
    )


def _bound(claim: socket.socket, port: int) -> bool:
    try:
        claim.bind(("", port))
    except OSError:
        return False
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return _bound(probe, port)


def own_address(node: str, towards: str, interface: str | None = None) -> str:
    """The IPv4 address of this machine that other nodes reach it by.

    Args:
        node: this machine's name among the nodes; where that is an address already, it is taken.
        towards: name or address of another node: the address is that of the interface that reaches it.
        interface: name of the interface to take instead, such as ``ib0``.

    Raises:
        UserError: there is no such interface, or ``towards`` is unknown.
    """
    if interface is not None:
        addresses = [address for name, address in _interfaces() if name == interface]
        if not addresses:
            known = ", ".join(sorted({name for name, _ in _interfaces()}))
            raise UserError(
                f"bupo.cluster.interface = {interface!r} should be an interface with an IPv4 address; "
                f"{socket.gethostname()} has {known}."
            )
        return addresses[0]
    if is_address(node):
        return node
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))  # sends nothing: asks for the route alone
        except OSError as error:
            raise UserError(f"{socket.gethostname()} finds no way to the node {towards}: {error}.") from error
        return str(probe.getsockname()[0])


def is_address(name: str) -> bool:
    """Whether the name of a node is an IPv4 address."""
    try:
        IPv4Address(name)
    except ValueError:
        return False
    return True


def interface_of(address: str) -> str:
    """Name of the interface that has an address of this machine.

    Raises:
        UserError: none has it.
    """
    if IPv4Address(address).is_loopback:
        address = "127.0.0.1"  # the others of 127.0.0.0/8 are not listed
    for name, own in _interfaces():
        if own == address:
            return name
    raise UserError(f"{socket.gethostname()} has no interface with the address {address}.")


def _interfaces() -> list[tuple[str, str]]:
    import psutil

    return [
        (name, entry.address)
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    ]

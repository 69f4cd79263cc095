"""The process that runs Ray on one node, seen from the training process."""

import os
import signal
import subprocess
import threading
from contextlib import suppress

from bupo.errors import UserError
from bupo.training.node_orders import Orders, told

END_S = 30
"""How long a node may take to end all that runs on it, in seconds."""


class NodeProcess:
    """Runs `bupo.training.ray_node` on a node, itself or through a launcher.

    Args:
        name: of the node.
        command: what starts `bupo.training.ray_node` there.
        orders: its orders.

    Raises:
        UserError: the command cannot be run.
    """

    def __init__(self, name: str, command: list[str], orders: Orders) -> None:
        self.name = name
        self.told: dict[str, str] = {}
        try:
            # a session of its own: a signal for the training is not one for its nodes
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        except OSError as error:
            raise UserError(f"node {name} could not be started by `{' '.join(command)}`: {error}.") from error
        assert self.process.stdin is not None
        self.stdin = self.process.stdin
        # a process forked from this one, which may outlive it, must not keep the node alive
        os.register_at_fork(after_in_child=self.release)
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        with suppress(BrokenPipeError):
            self.stdin.write(orders.to_line())
            self.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told |= told(line)

    @property
    def ended(self) -> str | None:
        """Why the node is not there any more, in one sentence; None while it is."""
        status = self.process.poll()
        if status is None:
            return None
        self.reader.join(1)
        return self.told.get("error") or f"Node {self.name}: what started it ended with status {status}."

    def release(self) -> None:
        """Let the node end."""
        with suppress(OSError):
            self.stdin.close()

    def end(self) -> None:
        """Let the node end, and make sure that it does."""
        self.release()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

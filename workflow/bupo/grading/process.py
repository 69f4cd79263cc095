"""The killable child process in which math-verify runs, and the conversation with it.

math-verify's own time limit needs the main thread and is not obeyed inside C code, so it cannot be used in
Ray workers; a child that is killed can be. It is started with ``subprocess`` (never a fork of a process with
threads) and spoken to in lines of JSON (never pickle).
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

CHILD = "bupo.grading.child"
PACKAGES = Path(__file__).parents[2]  # where this package is imported from
START_S = 180.0
SLACK_S = 10.0  # beyond the child's own limits before it is given up


class ChildDied(Exception):
    """The child ended or did not reply in time."""


class Child:
    """One conversation partner; started when first asked, started anew after a death or a fork of its owner.

    Safe to use from several threads, which then take turns.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._end: weakref.finalize | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._process.pid if self._process is not None else None

    def ask(self, gold: str, answer: str | None, limit_s: float) -> dict[str, Any]:
        """Send one pair; the reply has ``status`` and ``key``. A child that dies is replaced and asked again.

        Args:
            gold: the gold answer.
            answer: the answer to compare with it, or None to ask only whether the gold can be read.
            limit_s: processor time for the pair in seconds.
        """
        request = json.dumps({"gold": gold, "answer": answer, "limit_s": limit_s}).encode() + b"\n"
        with self._lock:
            for _ in range(2):
                try:
                    if not self._alive():
                        self._start()
                    return self._exchange(request, 4.0 * limit_s + SLACK_S)
                except ChildDied:
                    self._drop()
        return {"status": "error", "key": None}

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._drop()

    def _alive(self) -> bool:
        if self._process is not None and self._owner != os.getpid():
            self._process = None  # after a fork of this process the child belongs to the other one
            if self._end is not None:
                self._end.detach()
        return self._process is not None and self._process.poll() is None

    def _start(self) -> None:
        # sympy walks through sets: with one seed of the hashes every child walks the same way.
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        path = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(path)
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, end_group, self._process)
        try:
            if self._read_reply(START_S).get("status") != "ready":
                raise ChildDied
        except ChildDied as error:
            raise RuntimeError(f"the grading process {CHILD} does not start with {sys.executable}") from error

    def _exchange(self, request: bytes, limit_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(request)
        except OSError as error:
            raise ChildDied from error
        return self._read_reply(limit_s)

    def _read_reply(self, limit_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + limit_s
        reply = b""
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not reply.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise ChildDied
                piece = os.read(descriptor, 65536)
                if not piece:
                    raise ChildDied
                reply += piece
        return json.loads(reply)

    def _drop(self) -> None:
        if self._end is not None and self._owner == os.getpid():
            self._end()
        self._process = None
        self._end = None


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill the child with its worker, close the pipes, and collect it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait()

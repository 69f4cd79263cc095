r"""Program of the grading child: reads JSON lines, compares answers with math-verify, writes JSON lines.

Started as a program of its own by `bupo.grading.process`. The process that talks to the parent imports
math-verify once and never looks at an answer itself: it forks a worker that does,
so that an answer which hangs or eats memory costs its time limit and a fork (milliseconds), not a new import
of sympy (a second). Three walls surround the worker: a timer of processor time that kills it even inside C
code and does not depend on how busy the machine is; a limit of address space; an audit hook that refuses
files to write, sockets, processes and compiled text. sympy reads numbers with ``eval``; the hook lets it
compile those and little else, and the parser's plain-expression mode is off because it compiles the
answer.
"""

import json
import logging
import os
import re
import resource
import select
import signal
import sys

from bupo.grading.mathematics import compare

MEMORY_BYTES = 2 << 30
WALL_FACTOR = 4.0  # by the clock a worker may take this many times its processor time
FORBIDDEN = (
    *("socket.", "subprocess.", "ctypes.", "shutil.", "os.system", "os.exec", "os.spawn", "os.posix_spawn"),
    *("os.fork", "os.kill", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
    *("os.chmod", "os.chown", "os.truncate", "os.utime", "os.putenv"),
)
WARM_UP = (
    (r"\frac{1}{2}", r"\frac{\sqrt{3}}{2}"),
    (r"x^2+2x", r"x(x+2)"),
    (r"(1,2]", r"\{1,-2\}"),
    (r"2^{10}-1", r"3 \cdot \pi"),
    (r"x=5", r"1, 2, 3"),
    (r"(3, \frac{\pi}{2})", r"(-\infty,0) \cup [2,\infty)"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"6-5i"),
    (r"\text{even}", r"x \le 3"),
    (r"y = 2x+3", r"2\sin(x)+\log_2 8"),
)
HARMLESS = re.compile(r"Integer|Float|Rational|sqrt|pi|def|return|if|else|None|monomial_\w+|[a-zA-Z]\d*")


def refuse_side_effects() -> None:
    """Let this process read modules and compute, nothing else, for the rest of its life."""

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            flags = arguments[2]
            if flags is not None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                raise PermissionError("the grader opens no file to write")
        elif event == "compile" and not may_compile(*arguments):
            raise PermissionError("the grader compiles no text but numbers")
        elif event.startswith(FORBIDDEN):
            raise PermissionError(f"the grader does not do {event}")

    sys.addaudithook(hook)


def may_compile(source: bytes | str | None, filename: object) -> bool:
    """Whether this is the import of a module's file, or sympy making a number or its polynomial functions.

    Those it writes as text: of the number classes, one-letter names and a few words; nothing that reaches
    further can be spelled with them.
    """
    if isinstance(filename, str) and filename.endswith(".py"):
        return True
    text = source.decode(errors="replace") if isinstance(source, bytes) else source
    if not isinstance(text, str) or "\\" in text:
        return False
    return text == "from sympy import *" or all(map(HARMLESS.fullmatch, re.findall(r"[^\W\d]\w*", text)))


def work(requests: int, replies: int) -> None:
    """Life of a worker: one reply for each request, until the pipe closes or a limit kills it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    refuse_side_effects()
    with os.fdopen(requests, "rb") as source:
        for line in source:
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_PROF, request["limit_s"])
            try:
                reply = compare(request["gold"], request["answer"])
            except MemoryError:
                reply = {"status": "memory", "key": None}
            except BaseException as error:
                reply = {"status": "error", "key": None, "error": type(error).__name__}
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(replies, json.dumps(reply).encode() + b"\n")


class Worker:
    """A forked worker and the two pipes to it.

    Args:
        inherited: descriptor of the parent's pipe, which the worker must not keep open.
    """

    def __init__(self, inherited: int) -> None:
        ours, self.requests = os.pipe()
        self.replies, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                for descriptor in (0, inherited, self.requests, self.replies):
                    os.close(descriptor)
                work(ours, theirs)
                status = 0
            finally:
                os._exit(status)
        os.close(ours)
        os.close(theirs)

    def ask(self, line: bytes, wall_s: float) -> bytes | None:
        """The worker's reply line, or None when it died or took too long."""
        try:
            os.write(self.requests, line)
        except BrokenPipeError:
            return None
        reply = b""
        while not reply.endswith(b"\n"):
            if not select.select([self.replies], [], [], wall_s)[0]:
                return None
            piece = os.read(self.replies, 65536)
            if not piece:
                return None
            reply += piece
        return reply

    def kill(self) -> None:
        """End the worker at once and leave nothing of it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.requests)
        os.close(self.replies)


def main() -> None:
    """Serve requests from standard input until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    output = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # whatever a library prints must not look like a reply
    logging.disable(logging.CRITICAL)
    for gold, answer in WARM_UP:
        compare(gold, answer)  # fills the tables of the parser once, before any fork
    os.write(output, b'{"status": "ready"}\n')
    worker: Worker | None = None
    for line in sys.stdin.buffer:
        limit_s = json.loads(line)["limit_s"]
        worker = worker or Worker(output)
        reply = worker.ask(line, WALL_FACTOR * limit_s)
        if reply is None:
            worker.kill()
            worker = None
            reply = b'{"status": "timeout", "key": null}\n'
        os.write(output, reply)
    if worker is not None:
        worker.kill()


if __name__ == "__main__":
    main()

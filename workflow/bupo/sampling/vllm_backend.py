"""Sampling with vLLM in a process of its own, which gives its GPU memory back by ending."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bupo
from bupo.errors import UserError
from bupo.sampling.request import Completion, Request, SamplingSettings
from bupo.sampling.vllm_files import Model, identity, list_parts, read_part, write_job

PYTHON = "BUPO_VLLM_PYTHON"
"""Environment variable with the interpreter whose environment has vllm."""

POLL_S = 0.2
GRACE_S = 20.0


def sample_vllm(
    path: str,
    revision: str | None,
    requests: Sequence[Request],
    settings: SamplingSettings,
    engine: Mapping[str, Any],
    folder: Path,
    python: str | None = None,
    on_finished: Callable[[int], None] | None = None,
) -> Iterator[list[tuple[int, Completion]]]:
    """Responses by vLLM, in parts as they are finished; what is in ``folder`` already is not drawn again.

    A response's seed follows from its key, but the random numbers are vLLM's own: the responses are others
    than `bupo.sampling.decode` draws, from the same distribution.

    Args:
        path: folder or hub id of the model.
        revision: of the hub id.
        requests: what to draw.
        settings: how tokens are drawn; settings that the model ships with (top-k, penalties) are left out.
        engine: further arguments of ``vllm.EngineArgs``, such as ``dtype`` or ``tensor_parallel_size``.
        folder: keeps requests, responses and vLLM's output (worker.log), so that a crash loses at most one
            part; of one model's weights, and the caller's to remove. Parts of other settings are removed.
        python: interpreter whose environment has vllm; by default that of the environment variable
            BUPO_VLLM_PYTHON, else this process's own.
        on_finished: called with the number of responses that are finished so far.

    Yields:
        Each part's responses, each with the place of its request.

    Raises:
        UserError: there is no vllm, or it was given an argument or a length that is not right.
        RuntimeError: vLLM failed.
    """
    if not requests:
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_job(folder, Model(path, revision, engine), settings, requests)
    answers = _Answers(folder, requests, on_finished)
    yield from answers.fresh()
    if not answers.awaited:
        return
    with _worker(folder, python or os.environ.get(PYTHON) or sys.executable) as process:
        while process.poll() is None:
            yield from answers.fresh()
            time.sleep(POLL_S)
    yield from answers.fresh()
    if process.returncode != 0 or answers.awaited:
        _raise_failure(folder, process.returncode)


class _Answers:
    """The parts of a job as they appear."""

    def __init__(
        self, folder: Path, requests: Sequence[Request], on_finished: Callable[[int], None] | None
    ) -> None:
        self.folder, self.total, self.on_finished = folder, len(requests), on_finished
        self.read: set[Path] = set()
        self.awaited: dict[str, list[int]] = {}  # places of the requests that have no response yet
        for place, request in enumerate(requests):
            self.awaited.setdefault(identity(request), []).append(place)

    def fresh(self) -> Iterator[list[tuple[int, Completion]]]:
        """What the parts hold that were not there before, as far as it was asked for."""
        for part in list_parts(self.folder):
            if part in self.read:
                continue
            self.read.add(part)
            found = [
                (place, completion)
                for name, completion in read_part(part).items()
                for place in self.awaited.pop(name, ())
            ]
            if found and self.on_finished is not None:
                self.on_finished(self.total - sum(map(len, self.awaited.values())))
            if found:
                yield found


@contextmanager
def _worker(folder: Path, python: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process; when this is left, it and all that it started are gone."""
    # A folder with this package alone: its neighbours may be another environment's site-packages.
    packages = folder / "python"
    packages.mkdir(exist_ok=True)
    link = packages / "bupo"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(bupo.__file__).resolve().parent, target_is_directory=True)
    search = [str(packages.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"VLLM_NO_USAGE_STATS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(search)}
    command = [python, "-m", "bupo.sampling.vllm_worker", str(folder), str(os.getpid())]
    with (folder / "worker.log").open("wb") as log:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"the interpreter for vLLM, {python!r}, cannot be started ({error.strerror}); the path of a "
                f"python whose environment has vllm, in {PYTHON}, would be right."
            ) from error
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group, and wait until the group is gone: its memory is free only then."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for _ in range(round(GRACE_S / POLL_S)):
                os.killpg(process.pid, 0)
                time.sleep(POLL_S)


def _raise_failure(folder: Path, code: int) -> None:
    """Tell the worker's own sentence where it ended with one, else the end of what it printed."""
    lines = (folder / "worker.log").read_text(encoding="utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        if code == 2 and line.startswith("error: "):
            raise UserError(line.removeprefix("error: "))
    tail = "\n".join(lines[-20:])
    raise RuntimeError(f"vLLM ended with exit code {code}; the end of {folder / 'worker.log'}:\n{tail}")

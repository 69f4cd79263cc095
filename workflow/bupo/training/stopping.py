"""When a training stops before its last step: on a signal, or where its time is over.

The running step is finished, its checkpoint saved, and the process exits with `STATUS`; the same command goes
on from there. A second SIGINT ends the run at once, as SIGKILL does; that costs the steps since the last
checkpoint.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TextIO

from bupo.training.slurm_job import end_of_job

STATUS = os.EX_TEMPFAIL
"""75: stopped, to be gone on with."""
SIGNALS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGINT}
MARGIN_S = 60.0
"""Time that is left unused before the deadline, for leaving in peace."""
RECENT = 5


class Stopped(Exception):
    """The run stopped before its last step and can be gone on with.

    Args:
        why: and where.
        again: whether the same in another job of the same length will get further: it was only the time that
            was over, and there was enough of it for a step.
    """

    def __init__(self, why: str, again: bool = False) -> None:
        super().__init__(why)
        self.again = again


def find_deadline(time_limit_s: float | None, started: float) -> float | None:
    """When the run has to be over, in seconds since the epoch; None for never.

    Args:
        time_limit_s: how long it may take (``bupo.time_limit_s``).
        started: when it began.
    """
    ends = [started + time_limit_s] if time_limit_s is not None else []
    if (end := end_of_job()) is not None:
        ends.append(end)
    return min(ends, default=None)


class Stopping:
    """Waits for signals, from its ``with`` on, and watches the deadline.

    Signals are blocked and a thread takes them. All that is started inside inherits that they are blocked:
    Slurm sends a signal to every process of a job, and Ray's would end in the middle of the step that is to
    be finished.

    Args:
        deadline: see `find_deadline`.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.signal: str | None = None
        self.stream: TextIO | None = None  # where a signal is told; None is stderr
        self.steps: deque[float] = deque(maxlen=RECENT)
        self.save_s: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._wait, name="signals", daemon=True)

    def __enter__(self) -> "Stopping":
        """Take the signals."""
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the signals to whom they were left before."""
        self._closing = True
        assert self._thread.ident is not None
        signal.pthread_kill(self._thread.ident, signal.SIGUSR1)
        self._thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def _wait(self) -> None:
        seen = set()
        while True:
            number = signal.sigwait(SIGNALS)
            if self._closing:
                return
            if number == signal.SIGINT and number in seen:
                _thread.interrupt_main()
                continue
            seen.add(number)
            name = signal.Signals(number).name
            self.signal = self.signal or name
            again = "; once more ends it at once" if number == signal.SIGINT else ""
            with suppress(OSError, ValueError):  # whoever reads this may have got the signal too
                print(
                    f"{name}: stopping when the step is done{again}",
                    file=self.stream or sys.stderr,
                    flush=True,
                )

    def took(self, step_s: float) -> None:
        """Note how long a step took, all in all."""
        self.steps.append(step_s)

    def saved(self, save_s: float) -> None:
        """Note how long a checkpoint took."""
        self.save_s = max(save_s, self.save_s or 0)

    @property
    def reserve_s(self) -> float:
        """Time that has to be left for going on: the longest of the last steps, saving before and after it.

        What was not seen yet: a save counts as long as a step, a step as nothing.
        """
        step_s = max(self.steps, default=0)
        return step_s + 2 * (step_s if self.save_s is None else self.save_s) + MARGIN_S

    @property
    def reason(self) -> str | None:
        """Why the run should not begin another step; None where it should."""
        if self.signal:
            return self.signal
        if self.deadline is not None and time.time() + self.reserve_s > self.deadline:
            left = max(0, round(self.deadline - time.time()))
            return f"{left} s are left, and another step may need {round(self.reserve_s)} s"
        return None

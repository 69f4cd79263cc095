"""Many trainings from one process that has imported everything: each is a fork of it, with a life of its own.

Run as a script, it reads orders from stdin, a line of JSON each, and answers with the pid and, when the
training is over, with its status.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path


class WarmTrainer:
    """Trains in forks of a process that is started once."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "VERL_PLATFORM": "cpu",
            "GLOO_SOCKET_IFNAME": "lo",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, config: Path, out: Path, **orders: float | str) -> tuple[int, str]:
        """Train; the status, negative for a signal, and what was said.

        Args:
            config: the configuration's file.
            out: the run's folder.
            orders: ``signal``: SIGTERM in this step; ``deadline``: no time is left in this step; ``kill``:
                SIGKILL so many seconds after ``during`` began, verl's "save" or our "commit".
        """
        said = out.with_name(f"{out.name}.stderr")
        line = {"config": str(config), "out": str(out), "said": str(said), **orders}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), said.read_text()

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def disturb(orders: dict) -> None:
    """Make happen what is ordered; keep the last checkpoints, which can be compared."""
    from bupo.training.checkpoints import Checkpoints
    from bupo.training.trainer import ScheduledTrainer

    step, save, commit = ScheduledTrainer.step, ScheduledTrainer._save_checkpoint, Checkpoints.commit

    def kill(during):
        if orders.get("during") == during:
            threading.Timer(orders["kill"], os.kill, (os.getpid(), signal.SIGKILL)).start()

    def disturbed_step(trainer, *arguments, **named):
        if trainer.global_steps == orders.get("signal"):
            os.kill(os.getpid(), signal.SIGTERM)
        if trainer.global_steps == orders.get("deadline"):
            trainer.stopping.deadline = time.time()
        return step(trainer, *arguments, **named)

    def disturbed_save(trainer):
        kill("save")
        save(trainer)

    def disturbed_commit(*arguments):
        kill("commit")
        commit(*arguments)

    ScheduledTrainer.step, ScheduledTrainer._save_checkpoint = disturbed_step, disturbed_save
    Checkpoints.commit = disturbed_commit
    Checkpoints.finish = lambda checkpoints: None


def train(orders: dict) -> int:
    from bupo.errors import UserError
    from bupo.training.run import run
    from bupo.training.stopping import STATUS, Stopped

    said = os.open(orders["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(said, number)
    disturb(orders)
    try:
        run(Path(orders["config"]), Path(orders["out"]))
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STATUS
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    from bupo.training import patches

    patches.without_sklearn()
    from bupo.training import batch_rollout, single_process, trainer, worker  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = train(json.loads(line))
            sys.stderr.flush()
            os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()

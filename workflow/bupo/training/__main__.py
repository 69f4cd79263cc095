"""``python -m bupo.training``: train one cell of the grid with verl.

Reads a resolved configuration, as `python -m bupo.experiment` writes it, and what it names: training
problems in verl's schema and the model. Writes into the run's folder:

  metrics.jsonl   verl's metrics, one line a step, at once
  model/          the trained model in Hugging Face's format, with its tokenizer
  snapshots/      the model after every bupo.snapshot_every steps, in the same format: step-000004/, ...
  done.json       last: the configuration's hash, hashes of the files above, and the model of each snapshot
  log.txt         what verl prints
  checkpoints/    while it runs

The same command goes on from the last checkpoint after the run was stopped or killed, and does nothing when
done.json belongs to this configuration. On SIGTERM, SIGUSR1 and SIGINT, and before its Slurm job ends or
bupo.time_limit_s is over, it finishes the step, saves a checkpoint and exits with status 75. Where its
time is over, or its Slurm job is to make room for another one, it has that job queued again.
"""

import argparse
import sys
import time
from pathlib import Path

from bupo.errors import run_command


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(
        prog="python -m bupo.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="the cell's resolved configuration (YAML)")
    parser.add_argument(
        "--overrides",
        type=Path,
        help="YAML list of key=value laid over it: keys that are no part of the run's identity, such as "
        "bupo.time_limit_s, which may have changed since it was written",
    )
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument(
        "--tracking",
        type=Path,
        help="tracking.json of the experiment: metrics go to the cell's MLflow run too",
    )
    arguments = parser.parse_args()
    began = time.time()
    from bupo.training.run import run
    from bupo.training.slurm_job import makes_room, queue_again
    from bupo.training.stopping import STATUS, Stopped

    try:
        run(arguments.config, arguments.out, arguments.tracking, arguments.overrides)
    except Stopped as stopped:
        print(f"{arguments.out}: stopped: {stopped}; the same command goes on", file=sys.stderr, flush=True)
        if (stopped.again or makes_room(began)) and queue_again():
            print(f"{arguments.out}: its Slurm job is queued again", file=sys.stderr, flush=True)
        sys.exit(STATUS)


if __name__ == "__main__":
    run_command(main)

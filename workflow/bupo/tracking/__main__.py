"""Command line of the MLflow stage.

init    make the store, the MLflow experiment and its runs (again: find them)
log     results of one run
finish  results of all runs of an experiment, and the report
link    addresses in the MLflow UI
serve   MLflow's server, over sqlite or PostgreSQL
"""

import argparse
import os
from pathlib import Path

from bupo.errors import run_command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bupo.tracking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    init = commands.add_parser(
        "init",
        help="make the store, the experiment and its runs",
        description="Reads a resolved experiment; writes the sqlite database (if missing), one MLflow "
        "experiment, a run for the grid and one for each cell, seed and base model, and their ids to "
        "--out. Run again it finds them by their tags; a new cell adds its run.",
    )
    init.add_argument("--experiment", type=Path, required=True, help="results/<experiment>/experiment.yaml")
    init.add_argument(
        "--uri", required=True, help="sqlite:///results/mlflow/mlflow.db, or the address of a server"
    )
    init.add_argument("--out", type=Path, required=True, help="tracking.json to write")

    log = commands.add_parser(
        "log",
        help="log the results of one run",
        description="Logs evaluation numbers as metrics (eval/<benchmark>/pass_at_4, ..._low, ..._high), "
        "training steps that MLflow missed, files as artifacts. Logging twice changes nothing.",
    )
    log.add_argument("--tracking", type=Path, required=True, help="tracking.json")
    log.add_argument("--run", required=True, help="<model>/<cell>/seed<s>, or <model>/base/seed0")
    log.add_argument("--summaries", type=Path, nargs="*", default=[], help="summary.json of each benchmark")
    log.add_argument("--config", type=Path, help="the run's composed config.yaml")
    log.add_argument(
        "--metrics", type=Path, help="the run's metrics.jsonl: steps that MLflow lacks are logged"
    )
    log.add_argument("--done", type=Path, help="the run's done.json")
    log.add_argument("--entropy", type=Path, help="folder with boundary.json and statistics.parquet")
    log.add_argument("--figures", type=Path, nargs="*", default=[], help="image files")

    finish = commands.add_parser(
        "finish",
        help="log the results of all runs and the report",
        description="Does for each run of the experiment what log does, with the files found in its tree, "
        "and puts the report on the grid's run. One process for all: importing MLflow costs the most.",
    )
    finish.add_argument("--tracking", type=Path, required=True, help="tracking.json")
    finish.add_argument("--experiment", type=Path, required=True, help="results/<experiment>/experiment.yaml")
    finish.add_argument("--report", type=Path, help="results/<experiment>/report")
    finish.add_argument(
        "--stamp", type=Path, help="file to write when all is logged, for a workflow to wait on"
    )

    link = commands.add_parser(
        "link",
        help="addresses in the MLflow UI",
        description="Prints the addresses of the comparison of the trained cells by pass@1 over layer and "
        "iterative steps, of the table of all runs, and of the runs side by side.",
    )
    link.add_argument("--tracking", type=Path, required=True, help="tracking.json")
    link.add_argument(
        "--address", help="where the UI listens (the experiment's server, or http://127.0.0.1:5000)"
    )

    serve = commands.add_parser(
        "serve",
        help="MLflow's server, over sqlite or PostgreSQL",
        description="Starts MLflow's server and UI, on this machine's loopback interface unless --host says "
        "otherwise. A password of PostgreSQL is taken from PGPASSWORD or ~/.pgpass, never from the address.",
    )
    serve.add_argument(
        "--store",
        default="sqlite:///results/mlflow/mlflow.db",
        help="sqlite:///FILE, created where it is missing, or postgresql://USER@HOST/DATABASE (%(default)s)",
    )
    serve.add_argument("--artifacts", type=Path, help="folder of the artifacts (results/mlflow/artifacts)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=5000, help="port to listen on (%(default)s)")
    return parser


def main() -> None:
    """Parse the command line and run one command."""
    arguments = _parser().parse_args()
    # The store talks to files and to the address given, never to a usage-statistics server.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if arguments.command == "init":
        from bupo.tracking.grid import init

        init(arguments.experiment, arguments.uri, arguments.out)
    elif arguments.command == "log":
        from bupo.tracking.grid import read_tracking
        from bupo.tracking.log import Results, log_results
        from bupo.tracking.store import with_store

        results = Results(
            arguments.summaries,
            arguments.config,
            arguments.metrics,
            arguments.done,
            arguments.entropy,
            arguments.figures,
        )
        tracking = read_tracking(arguments.tracking)
        with_store(tracking.uri, lambda client: log_results(client, tracking, arguments.run, results))
    elif arguments.command == "link":
        from bupo.tracking.grid import read_tracking
        from bupo.tracking.links import compare_link, comparison_link, runs_link, ui_address

        tracking = read_tracking(arguments.tracking)
        address = arguments.address or ui_address(tracking)
        print(f"comparison:   {comparison_link(tracking, address)}")
        print(f"all runs:     {runs_link(tracking, address)}")
        print(f"side by side: {compare_link(tracking, address)}")
    elif arguments.command == "serve":
        from bupo.tracking.serve import serve

        serve(arguments.store, arguments.artifacts, arguments.host, arguments.port)
    else:
        from bupo.files import write_text
        from bupo.tracking.tree import finish

        finish(arguments.tracking, arguments.experiment, arguments.report)
        if arguments.stamp is not None:
            write_text(arguments.stamp, "")


if __name__ == "__main__":
    run_command(main, stages=("finish",))

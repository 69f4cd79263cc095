"""Grading stored samples: scores and summary, without a model."""

from pathlib import Path
from typing import Any

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.draw import check_benchmark
from bupo.evaluation.models import resolve_model
from bupo.evaluation.origin import Origin, fitting_origin, origin_of
from bupo.evaluation.partial import held, publish_file, remove_partial
from bupo.evaluation.shards import cut
from bupo.evaluation.store import SHARDS, Store, blocks, holds, keys_of, stored_origins
from bupo.files import sha256_file, write_json
from bupo.progress import Progress


def grade(
    benchmark: Path, settings: EvaluationSettings, out: Path, model_argument: str | None = None
) -> dict[str, Any]:
    """Grade the samples that lie in ``out``; writes scores.parquet, disagreements.csv and summary.json there.

    The samples of a few problems are in memory at a time. What the files hold depends on the samples alone
    and not on how they were cut into shards.

    Args:
        benchmark: parquet file in verl's schema.
        settings: how to grade and summarise, and how the samples were drawn.
        out: folder of the evaluation.
        model_argument: a model.json or a run's folder, of use where samples of several models lie in ``out``.

    Returns:
        The summary.

    Raises:
        UserError: samples are missing.
    """
    check_benchmark(benchmark)
    if model_argument is None:
        origin = fitting_origin(stored_origins(out), benchmark, settings, out)
    else:
        origin = origin_of(resolve_model(model_argument), benchmark, settings)
    return grade_stored(benchmark, settings, out, origin)


def grade_stored(benchmark: Path, settings: EvaluationSettings, out: Path, origin: Origin) -> dict[str, Any]:
    """`grade` for samples of a known origin."""
    import pandas as pd

    from bupo.evaluation.disagreements import write_disagreements
    from bupo.evaluation.summary import summarise

    write_scores(benchmark, settings, out, origin)
    scores = pd.read_parquet(out / "scores.parquet")
    write_disagreements(scores, out)
    summary = {
        "model": origin.model,
        "run": settings.run or origin.run,
        "benchmark": benchmark_name(benchmark),
        **summarise(scores, settings),
        "settings": settings.model_dump(mode="json", exclude={"run", "shards"}),
        "benchmark_sha256": sha256_file(benchmark),
        "sampling_sha256": origin.identity,
    }
    write_json(out / "summary.json", summary)
    remove_needless(out, settings, origin)
    return summary


def write_scores(benchmark: Path, settings: EvaluationSettings, out: Path, origin: Origin) -> None:
    """Grade through lm-eval, some problems at a time, and write scores.parquet.

    Raises:
        UserError: samples are missing.
    """
    import pyarrow.parquet as pq

    from bupo.evaluation.lm import EvaluationTask
    from bupo.evaluation.scores import SCHEMA, score_table

    task, store = EvaluationTask(benchmark, settings.grader), Store(out, origin.identity)
    check_complete(store, task.problems, settings, out)
    n = settings.samples
    progress = Progress(f"grading {origin.run} {benchmark.stem}", len(task.problems) * n, "samples")
    done, partial = 0, out / "partial-scores"
    with held(partial):
        with pq.ParquetWriter(partial / "scores.parquet", SCHEMA) as writer:
            for problems in blocks(task.problems, n):
                samples = store.read((problem, number) for problem in problems for number in range(n))
                documents = task.grade(problems, samples, n)
                writer.write_table(score_table(documents, samples, settings.grader))
                done += len(samples)
                progress.update(done)
        publish_file(partial / "scores.parquet", out / "scores.parquet")


def check_complete(store: Store, problems: list[str], settings: EvaluationSettings, out: Path) -> None:
    """Refuse to grade a part of the samples.

    Raises:
        UserError: names the shards that are to be drawn.
    """
    lacking = []
    for shard in cut(settings):
        mine = [problems[place] for place in shard.problems(len(problems))]
        if any((problem, number) not in store for problem in mine for number in shard.numbers):
            lacking.append(f"--shard {shard.part}/{shard.parts} --samples {shard.first}-{shard.last}")
    if lacking:
        raise UserError(
            f"{out}: samples are missing; python -m bupo.evaluation sample would be right with "
            + ", with ".join(lacking[:4])
            + (f" and {len(lacking) - 4} more." if len(lacking) > 4 else ".")
        )


def remove_needless(out: Path, settings: EvaluationSettings, origin: Origin) -> None:
    """Delete other samplings, and what holds nothing but samples that lie in today's shards too.

    Shards of an earlier cut that hold more than is asked for today, such as samples of higher numbers, stay.
    """
    ours = [path for shard in cut(settings) if (path := shard.file(out)).is_file()]
    inside = set().union(*map(keys_of, ours))

    def needless(path: Path) -> bool:
        return not holds(path, origin.identity) or keys_of(path) <= inside

    for path in out.glob(SHARDS):
        if path not in ours and needless(path):
            path.unlink()
    remove_partial(out, needless)


def benchmark_name(benchmark: Path) -> str:
    """Name of the set in the benchmark's rows, or the file's."""
    import pyarrow.parquet as pq

    names = set(pq.read_table(benchmark, columns=["data_source"])["data_source"].to_pylist())
    return names.pop() if len(names) == 1 else benchmark.stem

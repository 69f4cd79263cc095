"""One evaluation from start to files: samples, grades, summary."""

from pathlib import Path
from typing import Any

from bupo.evaluation.config import Decoding, EvaluationSettings
from bupo.evaluation.draw import Drawing
from bupo.evaluation.grade import grade_stored
from bupo.evaluation.models import resolve_model
from bupo.evaluation.shards import Shard, cut


def evaluate(model_argument: str, benchmark: Path, settings: EvaluationSettings, out: Path) -> dict[str, Any]:
    """Evaluate one model on one benchmark; writes shards, scores and summary into ``out``.

    Started again after a crash it draws only the samples that are missing; with a higher ``samples`` or
    another cut it adds to those that are there; with another grader it draws none.

    Args:
        model_argument: a model.json or a run's folder.
        benchmark: parquet file in verl's schema.
        settings: how to sample, grade and summarise.
        out: folder of the evaluation, made if needed.

    Returns:
        The summary.
    """
    drawing = Drawing(resolve_model(model_argument), benchmark, settings, out)
    for shard in cut(settings):
        drawing.draw(shard)
    return grade_stored(benchmark, settings, out, drawing.origin)


def sample(model_argument: str, benchmark: Path, decoding: Decoding, out: Path, shard: Shard) -> Path:
    """Draw one shard of an evaluation; samples that are in ``out`` already are taken over.

    Args:
        model_argument: a model.json or a run's folder.
        benchmark: parquet file in verl's schema.
        decoding: how to sample.
        out: folder of the evaluation, made if needed.
        shard: what to draw.

    Returns:
        Its file.
    """
    Drawing(resolve_model(model_argument), benchmark, decoding, out).draw(shard)
    return shard.file(out)

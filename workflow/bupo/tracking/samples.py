"""Some answers of an evaluation, as a table that the MLflow UI shows."""

import json
from pathlib import Path

from bupo.evaluation.store import first_texts
from bupo.files import read_json

PROBLEMS = 50
"""Problems of which the first answer is shown; all answers stay in the evaluation's folder."""


def sample_table(summary: Path, problems: Path) -> str | None:
    """The first answer to each of the first problems, right or wrong, as JSON in the form of MLflow's tables.

    Args:
        summary: summary.json of an evaluation, beside its scores and samples.
        problems: the benchmark in normal form.

    Returns:
        ``{"columns": [...], "data": [[...], ...]}``; None where a file is missing.
    """
    import pandas as pd

    scores = summary.parent / "scores.parquet"
    if not (scores.exists() and problems.exists()):
        return None
    texts = first_texts(summary.parent, read_json(summary).get("sampling_sha256"))
    if texts is None:
        return None
    told = pd.read_parquet(problems, columns=["id", "problem"]).head(PROBLEMS)
    graded = pd.read_parquet(
        scores, columns=["problem_id", "sample", "correct", "status", "answer", "gold", "n_tokens"]
    )
    table = (
        told.rename(columns={"id": "problem_id"})
        .merge(graded, on="problem_id")
        .merge(texts, on=["problem_id", "sample"])
    )
    columns = ["problem", "gold", "answer", "correct", "status", "n_tokens", "text"]
    shown = json.loads(table[columns].to_json(orient="split", index=False))
    return json.dumps(shown, ensure_ascii=False)

"""One evaluation from start to files: sample through lm-eval, grade, summarise."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bupo.errors import UserError
from bupo.evaluation.config import EvaluationSettings
from bupo.evaluation.models import EvaluatedModel, resolve_model
from bupo.evaluation.sampling import HuggingFaceSampler, Sampler, VLLMSampler
from bupo.files import atomic_path, sha256_file, sha256_text, write_json
from bupo.grading import RULES

if TYPE_CHECKING:
    import pandas as pd

GENERATOR = "philox"
"""What the random numbers come from; samples of another generator are not taken for these."""

SAMPLING_KEYS = (
    *("temperature", "top_p", "max_new_tokens", "backend", "dtype", "seed"),
    *("chat_template_kwargs", "chat_template", "vllm"),
)


def evaluate(model_argument: str, benchmark: Path, settings: EvaluationSettings, out: Path) -> dict[str, Any]:
    """Evaluate one model on one benchmark; writes shard-0.parquet, scores.parquet and summary.json into
    ``out``.

    Started again after a crash it draws only the samples that are missing; with a higher ``samples`` it adds
    to those that are there; with another grader it draws none.

    Args:
        model_argument: a model.json or a run's folder.
        benchmark: parquet file in verl's schema.
        settings: how to sample, grade and summarise.
        out: folder of the evaluation, made if needed.

    Returns:
        The summary.
    """
    if not benchmark.is_file():
        raise UserError(
            f"--benchmark {benchmark} does not exist; a parquet file in verl's schema would be right"
        )
    model = resolve_model(model_argument)
    out.mkdir(parents=True, exist_ok=True)
    scores, name = sample_and_grade(model, benchmark, settings, out)
    from bupo.evaluation.summary import summarise

    summary = {
        "model": model.name,
        "run": settings.run or model.run,
        "benchmark": name,
        **summarise(scores, settings),
        "settings": settings.model_dump(mode="json", exclude={"run"}),
        "benchmark_sha256": sha256_file(benchmark),
    }
    with atomic_path(out / "scores.parquet") as temporary:
        scores.to_parquet(temporary, index=False)
    write_json(out / "summary.json", summary)
    return summary


def sample_and_grade(
    model: EvaluatedModel, benchmark: Path, settings: EvaluationSettings, out: Path
) -> tuple["pd.DataFrame", str]:
    """Run lm-eval's evaluation of our task; the table of graded samples and the benchmark's name."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # our own lines tell the progress
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    import datasets
    from lm_eval.evaluator import evaluate as lm_eval_evaluate
    from lm_eval.tasks import TaskManager

    from bupo.evaluation.lm import SamplingLM
    from bupo.evaluation.shards import Shard
    from bupo.evaluation.task import TASK, TASK_DIRECTORY

    datasets.disable_progress_bars()
    metadata: dict[str, Any] = {"benchmark": str(benchmark), "grader": settings.grader}
    loaded = TaskManager(include_path=TASK_DIRECTORY, include_defaults=False, metadata=metadata).load(TASK)
    task: Any = loaded["tasks"][TASK]
    task.set_config("repeats", settings.samples)
    task.set_config("generation_kwargs", generation_arguments(settings))
    name = benchmark_name(benchmark)
    shard = Shard(out, sampling_identity(model, benchmark, settings))
    backends: dict[str, Callable[..., Sampler]] = {"hf": HuggingFaceSampler, "vllm": VLLMSampler}
    sampler = backends[settings.backend](model.path, model.revision, settings, shard.scratch)
    lm = SamplingLM(sampler, shard, settings, f"evaluation {model.run} {name}")
    results = lm_eval_evaluate(lm, loaded, bootstrap_iters=0, apply_chat_template=True, log_samples=True)
    assert results is not None
    samples = shard.finish(lm.keys)
    return score_table(results["samples"][TASK], samples, settings), name


def score_table(
    documents: list[dict[str, Any]], samples: list[Any], settings: EvaluationSettings
) -> "pd.DataFrame":
    """``scores.parquet``: one row for each sample, in the order of problems and samples."""
    import pandas as pd

    by_key = {(sample.problem_id, sample.sample): sample for sample in samples}
    rows = []
    for document in documents:
        for number, grades in enumerate(document["grades"]):
            sample = by_key[document["doc"]["id"], number]
            grade = grades[settings.grader]
            cut_off = sample.finish_reason == "length" and grade["status"] == "no_box"
            rows.append(
                {
                    "problem_id": sample.problem_id,
                    "sample": number,
                    "correct": grade["correct"],
                    "status": "truncated" if cut_off else grade["status"],
                    "answer": grade["answer"],
                    "key": grade["key"],
                    "gold": document["doc"]["answer"],
                    "n_tokens": sample.n_tokens,
                    "finish_reason": sample.finish_reason,
                    **{f"correct_{rule}": grades[rule]["correct"] for rule in RULES},
                }
            )
    return pd.DataFrame(rows)


def generation_arguments(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings in lm-eval's words, for its records."""
    return {
        "do_sample": settings.temperature > 0,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": 0,
        "max_gen_toks": settings.max_new_tokens,
        "until": [],
    }


def sampling_identity(model: EvaluatedModel, benchmark: Path, settings: EvaluationSettings) -> str:
    """Hash of all that a sample depends on; the number of samples is not part of it, nor the batch size."""
    chosen = {key: getattr(settings, key) for key in SAMPLING_KEYS}
    return sha256_text(f"{GENERATOR} {model.identity} {sha256_file(benchmark)} {chosen}")


def benchmark_name(benchmark: Path) -> str:
    """Name of the set in the benchmark's rows, or the file's."""
    import pyarrow.parquet as pq

    names = set(pq.read_table(benchmark, columns=["data_source"])["data_source"].to_pylist())
    return names.pop() if len(names) == 1 else benchmark.stem

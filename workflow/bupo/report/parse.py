"""One file of the evaluation or the data stage as the report's values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bupo.evaluation.store import first_texts
from bupo.report.records import DataSet, Estimate, Evaluated
from bupo.report.review import read_review


def evaluated(summary: Mapping[str, Any], scores: Path) -> Evaluated:
    """One evaluation from its summary and the files beside it."""
    return Evaluated(
        benchmark=summary["benchmark"],
        n_problems=summary["n_problems"],
        n_samples=summary["n_samples"],
        avg=_estimate(summary["avg_at_n"]),
        pass_at_k={int(k): _estimate(value) for k, value in summary["pass_at_k"].items()},
        truncated=summary["truncated_share"],
        no_box=summary["no_box_share"],
        mean_tokens=summary["mean_tokens"],
        grader=summary["grader"],
        disagreements=summary.get("grader_disagreements"),
        pass_at_k_decoding={
            int(k): (v["decoding_low"], v["decoding_high"])
            for k, v in summary["pass_at_k"].items()
            if "decoding_low" in v
        },
        grader_timeout=summary.get("grader_timeout_share"),
        benchmark_sha256=summary.get("benchmark_sha256"),
        sampling_sha256=summary.get("sampling_sha256"),
        review=read_review(scores.with_name("disagreements.csv")),
        scores=pd.read_parquet(scores),
        responses=first_texts(scores.parent, summary.get("sampling_sha256")),
    )


def data_set(report: Mapping[str, Any]) -> DataSet:
    """One set from its account of rows."""
    rows, source = report["rows"], report["source"]
    kind = source["kind"]
    if kind == "hub":
        where = f"{source['dataset']} at {source['revision'][:12]}, split {source['split']}"
    elif kind == "web":
        where = f"{source['url']} ({source['sha256'][:12]})"
    elif kind == "local":
        where = ", ".join(f"{name} ({digest[:12]})" for name, digest in source["files"].items())
    else:
        where = f"generated, seed {source['seed']}"
    return DataSet(
        name=report["set"],
        role=report["role"],
        upstream=rows["upstream"],
        kept=rows["kept"],
        dropped=rows["dropped"],
        left_out=rows["not_selected"] + rows["minus"] + rows["over_limit"],
        reasons=report["reasons"],
        source=where,
    )


def _estimate(value: Mapping[str, Any]) -> Estimate:
    return Estimate(value["value"], value["low"], value["high"])

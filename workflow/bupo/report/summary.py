"""``summary.json``: the report's numbers for other programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bupo.report.analysis import Analysis
from bupo.report.beside import Beside
from bupo.report.cells import Cell
from bupo.report.records import Entropy
from bupo.report.scores import Score


def summary(analysis: Analysis) -> dict[str, Any]:
    """Plain values: the answer, every cell with its scores, every comparison, boundary layers, costs."""
    results, comparisons = analysis.results, analysis.comparisons
    return {
        "experiment": results.experiment["name"],
        "description": results.experiment.get("description", ""),
        "experiment_sha256": results.experiment_sha256,
        "level": results.level,
        "answers": [asdict(answer) for answer in analysis.answers],
        "cells": [_cell(cell, analysis.scores) for cell in analysis.cells],
        "comparisons": [{**asdict(comparison), "words": comparison.words} for comparison in comparisons],
        "published": [_published(row) for row in analysis.published],
        "boundary": {entropy.model: _boundary(entropy) for entropy in results.entropy},
        "costs": [asdict(cost) for cost in results.costs],
        "missing": results.missing,
    }


def _cell(cell: Cell, scores: Sequence[Score]) -> dict[str, Any]:
    run = cell.first
    return {
        "model": cell.model,
        "cell": cell.name,
        "method": run.method,
        "train_set": run.train_set,
        "layer_requested": run.layer_requested,
        "layer": run.layer,
        "layer_evidence": run.evidence,
        "iterative_steps": run.iterative_steps,
        "learning_rate": run.learning_rate,
        "steps": run.steps,
        "seeds": [r.seed for r in cell.runs],
        "collapsed": {str(r.seed): r.collapse for r in cell.runs if r.collapse},
        "train_cost": {str(r.seed): asdict(r.cost) for r in cell.runs if r.cost},
        "scores": {
            score.benchmark: {
                **asdict(score.avg),
                "decoding": asdict(score.decoding),
                "over_seeds": asdict(score.over_seeds) if score.over_seeds else None,
                "truncated": score.truncated,
                "no_box": score.no_box,
                "mean_tokens": score.mean_tokens,
                "resolved_above_all_others": score.leads,
                "n_problems": score.n_problems,
                "n_samples": score.n_samples,
                "by_seed": {str(seed): value for seed, value in score.by_seed.items()},
            }
            for score in scores
            if (score.model, score.cell) == (cell.model, cell.name)
        },
    }


def _published(row: Beside) -> dict[str, Any]:
    return {
        "model": row.score.model,
        "cell": row.score.cell,
        "benchmark": row.score.benchmark,
        "value": row.score.avg.value,
        "published": row.printed.share,
        "difference": row.difference,
        "inside": row.inside,
        "same_experiment": row.row.comparable,
        "notes": row.notes,
        "source": row.row.source,
    }


def _boundary(entropy: Entropy) -> dict[str, Any]:
    keys = ("layers", "status", "boundary_layer", "tolerance", "lens", "reason", "n_tokens", "n_problems")
    return {key: getattr(entropy, key) for key in keys}

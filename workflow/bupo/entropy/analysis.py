"""The entropy analysis of one model: responses, one forward pass over each, statistics, boundary layer."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bupo.entropy.boundary import FfnChange, find_boundary
from bupo.entropy.clustered import ClusteredMeans
from bupo.entropy.load import load_model
from bupo.entropy.problems import draw, read_problems
from bupo.entropy.quantities import Row, measure
from bupo.entropy.responses import Response, sample_responses
from bupo.entropy.settings import Analysis, ModelSource
from bupo.errors import UserError
from bupo.files import atomic_path, write_json
from bupo.grading import Grade, Grader
from bupo.policies import InternalPolicies
from bupo.progress import Progress

ALL = "all"


@dataclass
class Statistics:
    """Running means of every row, one set for each slice of the responses."""

    rows: list[Row]
    slices: dict[str, ClusteredMeans] = field(default_factory=dict)

    def add(self, sums: dict[str, tuple[Tensor, int]]) -> None:
        """Take in one problem: for each slice the sums over its tokens, [R], and their number."""
        for name, (values, tokens) in sums.items():
            means = self.slices.setdefault(name, ClusteredMeans(len(self.rows)))
            means.add(values.cpu().numpy(), tokens)

    def table(self, level: float) -> pd.DataFrame:
        """The tidy table: one line for each slice and row."""
        frames = []
        index = pd.DataFrame([vars(row) for row in self.rows])
        for name, means in self.slices.items():
            found = means.interval(level)
            numbers = {"mean": found.mean, "low": found.low, "high": found.high}
            counts = {"n_tokens": means.tokens, "n_problems": means.clusters}
            frames.append(index.assign(slice=name, **numbers, **counts))
        return pd.concat(frames, ignore_index=True)


def slices_of(grade: Grade | None) -> list[str]:
    """The slices that a response belongs to."""
    return [ALL] if grade is None else [ALL, "correct" if grade.correct else "wrong"]


def gather(
    policies: InternalPolicies,
    responses: Iterable[Response],
    grades: Iterable[Grade | None],
    settings: Analysis,
) -> Statistics:
    """One forward pass over each response; responses to one problem come one after the other.

    Raises:
        UserError: a response is empty, or a quantity is not a finite number.
    """
    pairs = list(zip(responses, grades, strict=True))
    progress = Progress("entropy", len(pairs), "responses measured")
    statistics: Statistics | None = None
    done = 0
    for _, group in groupby(pairs, key=lambda pair: pair[0].problem.id):
        sums: dict[str, tuple[Tensor, int]] = {}
        for response, grade in group:
            ids = torch.tensor(response.prompt_ids + response.response_ids)
            states = policies.states(ids, response.positions)
            rows, values = measure(policies, states, settings.lenses, settings.temperature)
            total = values.double().sum(1)
            if not torch.isfinite(total).all():
                row = rows[int((~torch.isfinite(total)).nonzero()[0])]
                raise UserError(
                    f"problem {response.problem.id}: the {row.quantity} of the {row.policy} policy at layer "
                    f"{row.layer} is not finite; dtype {settings.dtype} may be too narrow for this model."
                )
            statistics = statistics or Statistics(rows)
            for name in slices_of(grade):
                before, tokens = sums.get(name, (torch.zeros_like(total), 0))
                sums[name] = (before + total, tokens + values.shape[1])
            done += 1
            progress.update(done)
        assert statistics is not None
        statistics.add(sums)
    if statistics is None:
        raise UserError("there is no response to analyse.")
    return statistics


def boundary_record(table: pd.DataFrame, name: str, settings: Analysis) -> dict[str, Any]:
    """``boundary.json`` from the statistics: see `find_boundary`."""
    chosen = table[
        (table.quantity == "entropy_change")
        & (table.policy == "ffn")
        & (table.lens == settings.boundary_lens)
        & (table.slice == ALL)
    ].sort_values("layer")
    changes = [
        FfnChange(*line)
        for line in chosen[["layer", "mean", "low", "high"]].itertuples(index=False, name=None)
    ]
    found = find_boundary(changes, settings.tolerance)
    return {
        "model": name,
        "layers": len(changes),
        "status": found.status,
        "boundary_layer": found.boundary_layer,
        "tolerance": settings.tolerance,
        "lens": settings.boundary_lens,
        "level": settings.level,
        "reason": found.reason,
        "evidence": [
            {
                "layer": int(change.layer),
                "ffn_change": change.mean,
                "low": None if math.isnan(change.low) else change.low,
                "high": None if math.isnan(change.high) else change.high,
                "stage": stage,
            }
            for change, stage in zip(changes, found.stages, strict=True)
        ],
        "n_tokens": int(chosen.n_tokens.iloc[0]),
        "n_problems": int(chosen.n_problems.iloc[0]),
        "interval": "over problems (clusters of tokens), t interval of a ratio of sums",
        "settings": settings.model_dump(),
    }


def responses_table(responses: list[Response], grades: list[Grade | None]) -> pd.DataFrame:
    """The responses as they were sampled, with their token ids."""
    return pd.DataFrame(
        {
            "problem_id": response.problem.id,
            "sample": response.sample,
            "gold": response.problem.gold,
            "response": response.text,
            "prompt_ids": response.prompt_ids,
            "response_ids": response.response_ids,
            "n_tokens": len(response.response_ids),
            "finished": response.finished,
            "correct": None if grade is None else grade.correct,
            "status": None if grade is None else grade.status,
        }
        for response, grade in zip(responses, grades, strict=True)
    ).astype({"correct": "boolean"})


def analyse(source: ModelSource, problems_file: Path, settings: Analysis, out: Path) -> dict[str, Any]:
    """The whole analysis; writes responses.parquet, statistics.parquet and boundary.json to ``out``.

    Returns:
        What boundary.json holds.
    """
    problems = draw(read_problems(problems_file), settings.problems, settings.seed)
    model, tokenizer = load_model(source, settings.dtype)
    policies = InternalPolicies(model)
    responses = sample_responses(model, tokenizer, problems, settings)
    with Grader(settings.grader) as grader:
        grades = [
            None if response.problem.gold is None else grader.grade(response.problem.gold, response.text)
            for response in responses
        ]
    table = gather(policies, responses, grades, settings).table(settings.level)
    assert not np.isnan(table["mean"]).any()
    record = boundary_record(table, source.name, settings)
    for name, frame in (("responses", responses_table(responses, grades)), ("statistics", table)):
        with atomic_path(out / f"{name}.parquet") as path:
            frame.to_parquet(path, index=False)
    write_json(out / "boundary.json", record)
    return record
